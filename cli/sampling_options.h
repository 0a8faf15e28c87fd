// The sampling flags, shared by every command that generates.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
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
  std::vector<std::string> logit_bias;  // "ID=BIAS"
  std::optional<uint64_t> seed;

  // `defaults` with the flags given in their place. Where the default is greedy, asking for chance
  // (top-k, top-p, min-p or a seed) without naming a temperature means temperature 1. Ranges are
  // checked where the parameters are used (SamplingParams::Validate).
  Result<SamplingParams> Apply(const SamplingParams& defaults) const;
};

// --temperature, --top-k, --top-p, --min-p, the penalties, --logit-bias and --seed.
void AddSamplingOptions(CLI::App& command, SamplingOptions& options);

}  // namespace fulmen
