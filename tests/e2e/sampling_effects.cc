// The options of sampling, which several commands have.
#include "tests/e2e/option_effects.h"

namespace fulmen::testing {

Effects SamplingEffects(const std::string& base) {
  const std::string greedy = base + " -n 40 --temperature 0";
  const std::string random = base + " -n 8 --temperature 5";
  return {
      {"--temperature", greedy, base + " -n 40 --temperature 5 --seed 1"},
      {"--seed", random + " --seed 1", random + " --seed 2"},
      {"--top-k", random + " --seed 1", random + " --seed 1 --top-k 1"},
      {"--top-p", random + " --seed 1", random + " --seed 1 --top-p 0.001"},
      {"--min-p", random + " --seed 1", random + " --seed 1 --min-p 1"},
      {"--repetition-penalty", greedy, greedy + " --repetition-penalty 100"},
      {"--presence-penalty", greedy, greedy + " --presence-penalty 2"},
      {"--frequency-penalty", greedy, greedy + " --frequency-penalty 2"},
      {"--logit-bias", greedy, greedy + " --logit-bias 300=100"},
  };
}

}  // namespace fulmen::testing
