#include "cli/sampling_options.h"

#include <charconv>
#include <cstdlib>
#include <string_view>

namespace fulmen {

namespace {

// "ID=BIAS" into `biases`.
Status ParseBias(const std::string& text, std::map<int32_t, double>& biases) {
  const size_t equals = text.find('=');
  const std::string number = equals == std::string::npos ? "" : text.substr(equals + 1);
  int32_t id = -1;
  const char* end = text.data() + (number.empty() ? 0 : equals);
  const auto [id_end, id_error] = std::from_chars(text.data(), end, id);
  char* bias_end = nullptr;
  const double bias = std::strtod(number.c_str(), &bias_end);
  if (number.empty() || id_error != std::errc() || id_end != end || *bias_end != '\0') {
    return Fail(ErrorCode::kInvalidArgument,
                "--logit-bias takes ID=BIAS, e.g. 42=-100, and was given '{}'", text);
  }
  if (!biases.emplace(id, bias).second) {
    return Fail(ErrorCode::kInvalidArgument, "--logit-bias names token {} twice", id);
  }
  return {};
}

}  // namespace

Result<SamplingParams> SamplingOptions::Apply(const SamplingParams& defaults) const {
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
  for (const std::string& text : logit_bias) FULMEN_TRY(ParseBias(text, params.logit_bias));
  return params;
}

void AddSamplingOptions(CLI::App& command, SamplingOptions& options) {
  const std::string group = "Sampling";
  command.add_option("--temperature", options.temperature, "Divides the logits; 0 is greedy")
      ->group(group);
  command.add_option("--top-k", options.top_k, "Keep the K most probable tokens; 0 is off")
      ->group(group);
  command
      .add_option("--top-p", options.top_p,
                  "Keep the most probable tokens that together reach P; 1 is off")
      ->group(group);
  command
      .add_option("--min-p", options.min_p,
                  "Keep tokens at least P times as probable as the most probable; 0 is off")
      ->group(group);
  command
      .add_option(
          "--repetition-penalty", options.repetition_penalty,
          "Divides positive logits of tokens seen before and multiplies negative ones; 1 is "
          "off")
      ->group(group);
  command
      .add_option("--presence-penalty", options.presence_penalty,
                  "Subtracted from the logit of every token generated before")
      ->group(group);
  command
      .add_option("--frequency-penalty", options.frequency_penalty,
                  "Subtracted once for each time the token was generated")
      ->group(group);
  command
      .add_option("--logit-bias", options.logit_bias,
                  "ID=BIAS: added to the logit of token ID; may be given several times")
      ->allow_extra_args(false)
      ->group(group);
  command.add_option("--seed", options.seed, "Makes a run repeatable; a whole number from 0 up")
      ->check([](const std::string& text) {
        // Else it would be taken modulo 2^64.
        return text.starts_with('-') ? "must not be negative, but is " + text : "";
      })
      ->group(group);
}

}  // namespace fulmen
