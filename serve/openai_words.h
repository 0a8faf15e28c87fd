// What the answers of OpenAI's chat and completions have in common.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/json.h"
#include "engine/request.h"
#include "serve/answer_text.h"
#include "serve/api_error.h"
#include "serve/fields.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {

inline constexpr int64_t kMostChoices = 128;  // `n`
inline constexpr int64_t kMostTopLogprobs = 20;

// Deadlines and cancelling cut an answer short, so they are told as "length": a client must not
// take it for whole.
std::string_view OpenAiFinishReason(FinishReason reason);

// What a choice says beside it: the stop string that ended it, or kQuotaReason; null for neither.
Json StopReasonOf(const AnswerText& said);

Json OpenAiUsage(const Usage& usage);
// As llama.cpp's `timings`, with the time in the queue.
Json TimingsJson(const RequestDone& done);
Usage operator+(const Usage& a, const Usage& b);

// As in `logprobs.content`.
Json OpenAiLogprobs(std::span<const TokenSampled> tokens, const Tokenizer& tokenizer);
// A token's text, with U+FFFD for what is no UTF-8 alone.
std::string TokenText(const Tokenizer& tokenizer, int32_t id);
// -9999 for what has no probability, since JSON has no infinity.
double ToldLogprob(double logprob);

// `stream` and `stream_options.include_usage`.
struct StreamFields {
  bool stream = false;
  bool include_usage = false;
};
ApiResult<StreamFields> ReadStreamFields(const Fields& fields);

inline constexpr std::string_view kOpenAiDone = "[DONE]";

}  // namespace fulmen
