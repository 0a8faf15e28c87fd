#include "cli/sampling_options.h"

#include <string>
#include <string_view>

namespace fulmen {

namespace {

// "ID=BIAS" into `biases`.
Status ParseBias(const std::string& text, std::map<int32_t, double>& biases) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos) {
    return Fail(ErrorCode::kInvalidArgument, "should be ID=BIAS, as in 42=-100, found \"{}\"",
                text);
  }
  const std::string_view view = text;
  const auto id = ParseNumber<int32_t>(view.substr(0, equals), {.low = 0});
  if (!id) return Fail(ErrorCode::kInvalidArgument, "ID=BIAS: ID {}", id.error().message);
  const auto bias = ParseNumber<double>(view.substr(equals + 1), {-100, 100});
  if (!bias) return Fail(ErrorCode::kInvalidArgument, "ID=BIAS: BIAS {}", bias.error().message);
  if (!biases.emplace(*id, *bias).second) {
    return Fail(ErrorCode::kInvalidArgument, "may name a token once, found token {} twice", *id);
  }
  return {};
}

}  // namespace

Status SamplingOptions::Check() const {
  if (temperature != 0) return {};
  const char* chance = top_k ? "--top-k" : top_p ? "--top-p" : min_p ? "--min-p" : nullptr;
  if (chance == nullptr) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "{} does nothing with --temperature 0, which always takes the most probable token",
              chance);
}

SamplingParams SamplingOptions::Apply(const SamplingParams& defaults) const {
  SamplingParams params = defaults;
  const bool asks_for_chance = top_k || top_p || min_p || seed;
  if (params.temperature == 0 && asks_for_chance) params.temperature = 1;
  params.temperature = temperature.value_or(params.temperature);
  params.top_k = top_k.value_or(params.top_k);
  params.top_p = top_p.value_or(params.top_p);
  params.min_p = min_p.value_or(params.min_p);
  params.repetition_penalty = repetition_penalty.value_or(params.repetition_penalty);
  params.presence_penalty = presence_penalty.value_or(params.presence_penalty);
  params.frequency_penalty = frequency_penalty.value_or(params.frequency_penalty);
  params.seed = seed.value_or(params.seed);
  params.logit_bias = logit_bias;
  return params;
}

void AddSamplingOptions(Command& command, SamplingOptions& options) {
  command.Group("Sampling");
  command.Add("--temperature T", options.temperature, "Divides the logits; 0 is greedy",
              {.low = 0});
  command.Add("--top-k K", options.top_k, "Keep the K most probable tokens; 0 is off", {.low = 0});
  command.Add("--top-p P", options.top_p,
              "Keep the most probable tokens that together reach P; 1 is off", {0, 1});
  command.Add("--min-p P", options.min_p,
              "Keep tokens at least P times as probable as the most probable; 0 is off", {0, 1});
  command.Add(
      "--repetition-penalty R", options.repetition_penalty,
      "Divides positive logits of tokens seen before and multiplies negative ones; 1 is off",
      {.low = 1e-6});
  command.Add("--presence-penalty P", options.presence_penalty,
              "Subtracted from the logit of every token generated before", {-2, 2});
  command.Add("--frequency-penalty P", options.frequency_penalty,
              "Subtracted once for each time the token was generated", {-2, 2});
  command
      .Add(
          "--logit-bias ID=BIAS",
          [&options](const std::string& text) { return ParseBias(text, options.logit_bias); },
          "Added to the logit of token ID, from -100 to 100")
      .Several();
  command.Add("--seed N", options.seed, "Makes a run repeatable; a whole number from 0 up");
}

}  // namespace fulmen
