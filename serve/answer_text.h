// What a model has said, in no API's words: the one place where events become an answer, for those
// who stream and for those who do not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/request.h"

namespace fulmen {

// Why an answer ended whose key may have no more of it: its balance or its limit is used up.
inline constexpr std::string_view kQuotaReason = "insufficient_quota";

// A function that is called.
struct CallInAnswer {
  std::string name;
  std::string arguments;  // the text of a JSON object, or its beginning while it has not ended
  bool ended = false;     // never, where the answer was cut short within it or it broke
};

// What one event adds to an answer. Views hold as long as the event and until the next one.
struct AnswerStep {
  enum class Kind : uint8_t {
    kNothing,
    kReasoning,  // `text` of the thoughts
    kContent,    // `text` of the answer, and its `tokens`
    kCall,       // `call` begins; `text` is the function's name
    kArguments,  // `text` of the arguments of `call`
    kCallEnd,    // the arguments of `call` are whole
    kFinish,     // the last step; AnswerText::finish() says why. Comes once
  };
  Kind kind = Kind::kNothing;
  std::string_view text = {};
  size_t call = 0;
  // Sampled since the step before, with their log probabilities, where these were asked for. Text
  // may be held back, so that several tokens lead to one step; the first text after thoughts or a
  // call also has the tokens of the markup between them.
  std::span<const TokenSampled> tokens = {};
};

// One choice of an answer. Not thread safe.
class AnswerText {
 public:
  // `one_call`: the answer ends with its first whole call, and what comes after it is dropped.
  explicit AnswerText(bool one_call = false) : one_call_(one_call) {}

  // The events of this choice, in their order.
  AnswerStep Add(const Event& event);
  // Without tokens and an end: the pieces of what was said before.
  AnswerStep AddPiece(const AnswerPiece& piece);

  const std::string& reasoning() const { return reasoning_; }
  const std::string& content() const { return content_; }
  const std::vector<CallInAnswer>& calls() const { return calls_; }
  // All that was given out with kContent.
  std::span<const TokenSampled> content_tokens() const { return {tokens_.data(), content_tokens_}; }
  const std::optional<FinishReason>& finish() const { return finish_; }
  const std::optional<std::string>& stop_string() const { return stop_string_; }  // that ended it
  const std::vector<int32_t>& ids() const { return ids_; }  // once finished; see AnswerFinished
  int64_t reasoning_tokens() const { return reasoning_tokens_; }

 private:
  AnswerStep Finish(const AnswerFinished& finished);
  bool IsComplete() const { return one_call_ && !calls_.empty() && calls_.back().ended; }

  bool one_call_;
  std::string reasoning_;
  std::string content_;
  std::vector<CallInAnswer> calls_;
  std::vector<TokenSampled> tokens_;  // those of the content, then those since the last step
  size_t content_tokens_ = 0;
  std::optional<FinishReason> finish_;
  std::optional<std::string> stop_string_;
  std::vector<int32_t> ids_;
  int64_t reasoning_tokens_ = 0;
};

// The choice an event belongs to; nullopt for those of the whole request.
std::optional<size_t> ChoiceOf(const Event& event);

}  // namespace fulmen
