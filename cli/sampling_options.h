// The sampling flags, shared by every command that generates.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "base/status.h"
#include "cli/command.h"
#include "engine/sampler.h"

namespace fulmen {

// What the user said; absent where nothing was said.
struct SamplingOptions {
  std::optional<double> temperature;
  std::optional<int64_t> top_k;
  std::optional<double> top_p;
  std::optional<double> min_p;
  std::optional<double> repetition_penalty;
  std::optional<double> presence_penalty;
  std::optional<double> frequency_penalty;
  std::map<int32_t, double> logit_bias;
  std::optional<uint64_t> seed;

  // Refuses what does nothing: choosing among tokens with a temperature of 0. A seed may stay,
  // since the run is as repeatable as it promises.
  Status Check() const;
  // `defaults` with the flags given in their place. Where the default is greedy, asking for chance
  // (top-k, top-p, min-p or a seed) without naming a temperature means temperature 1. Ids of biases
  // are checked where the vocabulary is known (SamplingParams::Validate).
  SamplingParams Apply(const SamplingParams& defaults) const;
};

// --temperature, --top-k, --top-p, --min-p, the penalties, --logit-bias and --seed.
void AddSamplingOptions(Command& command, SamplingOptions& options);

}  // namespace fulmen
