// Chooses the next token from the model's logits.
//
// The steps, in order; each sees the result of those before it:
//   1. forbidden ids,    logit <- -infinity
//      the mask          likewise for every id that a mask, where there is one, lacks
//   2. logit bias        logit <- logit + bias[id]
//   3. repetition        logit <- logit > 0 ? logit / r : logit * r, for every id of the history or
//                        generated so far (Hugging Face's repetition_penalty)
//   4. frequency,        logit <- logit - count * frequency - (count > 0 ? presence : 0), where
//      presence          count is how often the id was generated so far, prompts not counted (the
//                        formula of the OpenAI API)
//   5. temperature       weight = exp((logit - largest logit) / temperature); 0 ends here with the
//                        largest logit, of equal ones the lowest id
//   6. top-k             the k most probable tokens
//   7. top-p             of what is left, renormalised: the fewest most probable tokens that
//                        together reach p, at least one
//   8. min-p             tokens at least min_p times as probable as the most probable one
//   9. draw              one uniform number, walked down the tokens left in order of id
// Among equally probable tokens steps 6 and 7 prefer the lower id. Weights and their sums are
// double.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "base/status.h"

namespace fulmen {

// The defaults change nothing: greedy decoding on the model's own logits.
struct SamplingParams {
  double temperature = 0;         // 0: greedy
  int64_t top_k = 0;              // 0: off
  double top_p = 1;               // 1: off
  double min_p = 0;               // 0: off
  double repetition_penalty = 1;  // 1: off
  double presence_penalty = 0;
  double frequency_penalty = 0;
  std::map<int32_t, double> logit_bias;
  uint64_t seed = 0;

  // Ranges are those of the OpenAI API where it has the parameter; the temperature may be any
  // finite number that is not negative.
  Status Validate(int64_t vocab_size) const;
};

// The sampler of one sequence: it remembers what was generated. Not thread safe. Movable.
class Sampler {
 public:
  // `forbidden` ids are never chosen. Fails when `params` are out of range or nothing is left to
  // choose.
  static Result<Sampler> Create(const SamplingParams& params, int64_t vocab_size,
                                std::span<const int32_t> forbidden);

  // Tokens that came before the generated ones, for the repetition penalty. They must lie in the
  // vocabulary.
  void AddHistory(std::span<const int32_t> ids);

  // Chooses a token and remembers it. `logits` holds vocab_size finite values and is overwritten.
  // `mask` is empty, or has a bit for each id, lowest first; some of those set is not forbidden.
  int32_t Sample(std::span<float> logits, std::span<const uint64_t> mask = {});
  // Remembers a token that was not chosen here.
  void Remember(int32_t token) { ++counts_[token]; }

 private:
  struct Candidate {
    float logit;
    int32_t id;
    double weight;
  };

  Sampler(const SamplingParams& params, int64_t vocab_size, std::span<const int32_t> forbidden)
      : params_(params),
        vocab_size_(vocab_size),
        forbidden_(forbidden.begin(), forbidden.end()),
        random_(params.seed) {}

  // The order of steps 6 and 7.
  static bool MoreProbable(const Candidate& a, const Candidate& b);
  void AdjustLogits(std::span<float> logits, std::span<const uint64_t> mask) const;
  int32_t Draw(std::span<const float> logits);
  void KeepTopK();
  void KeepTopP();
  // Drops the candidates after `last` in the order of MoreProbable; the others stay in order of id.
  void KeepUpTo(const Candidate& last);

  SamplingParams params_;
  int64_t vocab_size_;
  std::vector<int32_t> forbidden_;
  RandomStream random_;
  std::unordered_map<int32_t, int64_t>
      counts_;                         // ids seen so far, and how often each was generated
  std::vector<Candidate> candidates_;  // in order of id
  std::vector<Candidate> ranked_;      // scratch of KeepTopK and KeepTopP
};

}  // namespace fulmen
