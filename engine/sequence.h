// One prompt and its answer on the way through the engine. A step is three calls: Schedule says
// which tokens the model reads next, the caller runs them, Postprocess takes the logits. Nothing
// here touches the model, so sequences are tested alone, and a scheduler may run many of them in
// one step.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/sampler.h"
#include "engine/stop.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {

enum class FinishReason : uint8_t {
  kStop,       // a stop token or a stop string
  kLength,     // max_tokens
  kContext,    // the model can read no further token
  kCancelled,  // the user stopped it
};
std::string_view FinishReasonName(FinishReason reason);  // "stop", "length", …

struct GenerateRequest {
  std::vector<int32_t> prompt;   // what the model reads before it answers; at least one token
  std::vector<int32_t> history;  // tokens the state has read before, for the repetition penalty
  SamplingParams sampling;
  int64_t max_tokens = 0;                 // at least 1
  std::vector<int32_t> stop_tokens;       // end the answer and are not part of it
  std::vector<std::string> stop_strings;  // likewise, in its text; need a tokenizer
};

// What a sequence has to know about its model and state.
struct SequenceLimits {
  int64_t vocab_size = 0;
  int64_t max_position = 0;            // context limit in tokens
  int64_t position = 0;                // tokens the state has read already
  std::span<const int32_t> forbidden;  // ids never to be sampled
};

// Not thread safe. Movable.
class Sequence {
 public:
  // Without a tokenizer there is no text. The tokenizer must outlive the sequence. A prompt that
  // does not fit, ids outside the vocabulary and parameters out of range are errors.
  static Result<Sequence> Create(GenerateRequest request, const SequenceLimits& limits,
                                 const Tokenizer* tokenizer);

  struct Work {
    std::span<const int32_t> tokens;  // valid until Postprocess
    bool wants_logits = false;        // of the last token
  };
  // At most `chunk` tokens of the prompt, or the token generated last. Not once finished.
  Work Schedule(int64_t chunk) const;
  // Takes note that `work` was run. `logits` [vocab], where wanted, is overwritten. Returns the
  // text that became final.
  std::string Postprocess(const Work& work, std::span<float> logits);
  // Ends the answer here. Returns the text that became final.
  std::string Cancel() { return Finish(FinishReason::kCancelled); }

  bool finished() const { return finish_reason_.has_value(); }
  std::optional<FinishReason> finish_reason() const { return finish_reason_; }
  bool at_stop_string() const { return stop_.stopped(); }
  // Tokens of the prompt that were run.
  int64_t prompt_read() const { return std::min(read_, prompt_size()); }
  int64_t prompt_size() const { return static_cast<int64_t>(request_.prompt.size()); }
  const std::vector<int32_t>& ids() const { return ids_; }
  const std::string& text() const { return text_; }
  // The last tokens of prompt and answer that the model has not read.
  std::vector<int32_t> Unread() const;

 private:
  Sequence(GenerateRequest request, const SequenceLimits& limits, const Tokenizer* tokenizer,
           Sampler sampler);

  std::string TakeToken(int32_t token);
  std::string Finish(FinishReason reason);

  GenerateRequest request_;
  int64_t room_;  // tokens the state could read when the sequence began
  Sampler sampler_;
  std::optional<StreamDecoder> decoder_;
  StopMatcher stop_;
  int64_t read_ = 0;  // tokens of prompt and answer that were run
  std::vector<int32_t> ids_;
  std::string text_;
  std::optional<FinishReason> finish_reason_;
};

}  // namespace fulmen
