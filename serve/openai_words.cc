#include "serve/openai_words.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/utf8.h"

namespace fulmen {
namespace {

Json Logprob(int32_t id, double logprob, const Tokenizer& tokenizer) {
  Json bytes = Json::array();
  for (const char byte : tokenizer.TokenBytes(id).value_or("")) {
    bytes.push_back(static_cast<uint8_t>(byte));
  }
  return {{"token", TokenText(tokenizer, id)},
          {"logprob", ToldLogprob(logprob)},
          {"bytes", std::move(bytes)}};
}

}  // namespace

std::string_view OpenAiFinishReason(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kToolCalls:
      return "tool_calls";
    default:
      return "length";
  }
}

Json StopReasonOf(const AnswerText& said) {
  if (said.finish() == FinishReason::kAllowance) return kQuotaReason;
  return said.stop_string() ? Json(*said.stop_string()) : Json();
}

// Each token of the prompt is of one class, cached, of an image or of text, and has its price.
Json OpenAiUsage(const Usage& usage) {
  const int64_t images = usage.image_tokens - usage.cached_image_tokens;
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.output_tokens},
          {"total_tokens", usage.prompt_tokens + usage.output_tokens},
          {"prompt_tokens_details",
           {{"cached_tokens", usage.cached_tokens},
            {"cache_write_tokens", 0},
            {"text_tokens", usage.prompt_tokens - usage.cached_tokens - images},
            {"image_tokens", images},
            {"audio_tokens", 0}}},
          {"completion_tokens_details",
           {{"reasoning_tokens", usage.reasoning_tokens},
            {"audio_tokens", 0},
            {"accepted_prediction_tokens", 0},
            {"rejected_prediction_tokens", 0}}}};
}

Json TimingsJson(const RequestDone& done) {
  const auto milliseconds = [](double seconds) { return std::round(seconds * 1e6) / 1e3; };
  const Usage& usage = done.usage;
  return {{"cache_n", usage.cached_tokens},
          {"prompt_n", usage.read_tokens - usage.cached_tokens},
          {"queue_ms", milliseconds(done.timings.queue_seconds)},
          {"prompt_ms", milliseconds(done.timings.prompt_seconds)},
          {"predicted_n", usage.output_tokens},
          {"predicted_ms", milliseconds(done.timings.decode_seconds)}};
}

Usage operator+(const Usage& a, const Usage& b) {
  return {.prompt_tokens = a.prompt_tokens + b.prompt_tokens,
          .cached_tokens = a.cached_tokens + b.cached_tokens,
          .output_tokens = a.output_tokens + b.output_tokens,
          .reasoning_tokens = a.reasoning_tokens + b.reasoning_tokens,
          .read_tokens = a.read_tokens + b.read_tokens,
          .image_tokens = a.image_tokens + b.image_tokens,
          .cached_image_tokens = a.cached_image_tokens + b.cached_image_tokens};
}

Json OpenAiLogprobs(std::span<const TokenSampled> tokens, const Tokenizer& tokenizer) {
  Json content = Json::array();
  for (const TokenSampled& token : tokens) {
    Json one = Logprob(token.id, token.logprob.value_or(0), tokenizer);
    Json top = Json::array();
    for (const TokenLogprob& other : token.top) {
      top.push_back(Logprob(other.id, other.logprob, tokenizer));
    }
    one["top_logprobs"] = std::move(top);
    content.push_back(std::move(one));
  }
  return content;
}

std::string TokenText(const Tokenizer& tokenizer, int32_t id) {
  return ReplaceInvalidUtf8(tokenizer.TokenBytes(id).value_or(""));
}

double ToldLogprob(double logprob) { return std::max(logprob, -9999.0); }

ApiResult<StreamFields> ReadStreamFields(const Fields& fields) {
  StreamFields read;
  FULMEN_API_ASSIGN(read.stream, fields.Bool("stream", false));
  FULMEN_API_ASSIGN(const std::optional<Fields> options, fields.Object("stream_options"));
  if (options) {
    FULMEN_API_ASSIGN(read.include_usage, options->Bool("include_usage", false));
  }
  return read;
}

}  // namespace fulmen
