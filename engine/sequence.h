// One prompt and one answer to it on the way through the engine. Nothing here touches the model:
// Unread() says what it reads next, the engine runs that, and Read() takes note and the logits. So
// sequences are tested alone, and a batch may hold any part of many.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/constraint.h"
#include "engine/logprobs.h"
#include "engine/prefix_cache.h"
#include "engine/request.h"
#include "engine/sampler.h"
#include "engine/stop.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {

// What a sequence has to know about its model.
struct SequenceLimits {
  int64_t vocab_size = 0;
  int64_t max_position = 0;            // context limit in tokens
  std::span<const int32_t> forbidden;  // ids never to be sampled
  std::optional<int32_t> image_token = {};
};

// Not thread safe. Movable.
class Sequence {
 public:
  // Answer `choice` to `request`. Without a tokenizer there is no text. The tokenizer must outlive
  // the sequence. A prompt that does not fit, ids outside the vocabulary and parameters out of
  // range are errors.
  static Result<Sequence> Create(const Request& request, int64_t choice,
                                 const SequenceLimits& limits, const Tokenizer* tokenizer);

  // Prompt and answer so far, and the same for the prefix cache.
  const std::vector<int32_t>& tokens() const { return tokens_; }
  std::span<const PrefixKey> keys() const { return keys_; }
  int64_t prompt_size() const { return prompt_size_; }
  // Tokens that the model has read. A sequence may be set back, to a state that has read fewer: it
  // reads its own answer again, and goes on as if nothing had happened.
  int64_t position() const { return position_; }
  void SetPosition(int64_t position);
  // At least one, until it is finished: the last of them gives the logits of the next token.
  int64_t unread() const { return std::ssize(tokens_) - position_; }

  // Holds the answer to the grammar of `matcher`, from its beginning. All sequences that get copies
  // of one matcher are of one thread, but for Sample().
  void Constrain(const Matcher& matcher);

  // Takes note that the next `count` tokens were read; of all unread ones with their logits
  // [vocab], which are overwritten. PrepareToSample() comes before Sample(), which may run on any
  // thread; its result is for Take(), which returns the text that became final. A failure of the
  // first ends the answer.
  void Read(int64_t count);
  static constexpr int32_t kEnd = -1;  // in place of a token: the answer can only end
  struct Sampled {
    int32_t id = 0;
    std::optional<TokenLogprobs> logprobs;  // where the request wants them
  };
  Status PrepareToSample();
  Sampled Sample(std::span<float> logits);
  std::vector<AnswerPiece> Take(int32_t token);
  // After Take(): a token that is to be taken next, without the model having been asked. The model
  // reads such tokens later, all together.
  std::optional<int32_t> NextForced() const;
  // Ends the answer here. Returns the text that became final.
  std::vector<AnswerPiece> Finish(FinishReason reason);

  bool finished() const { return finish_reason_.has_value(); }
  std::optional<FinishReason> finish_reason() const { return finish_reason_; }
  // Why it was finished with kError.
  const Status& status() const { return status_; }
  const std::optional<std::string>& stop_string() const { return stop_.found(); }
  // The answer, without the stop token.
  std::vector<int32_t> ids() const { return {tokens_.begin() + prompt_size_, tokens_.end()}; }
  int64_t reasoning_tokens() const { return reasoning_tokens_; }

 private:
  Sequence(const Request& request, const SequenceLimits& limits, const Tokenizer* tokenizer,
           Sampler sampler);

  void Append(int32_t token);
  int64_t generated() const { return std::ssize(tokens_) - prompt_size_; }
  std::vector<AnswerPiece> AddText(int32_t token);
  std::vector<AnswerPiece> FailWith(Status status);
  // Where the grammar leads after a token, and which tokens it forces.
  void FollowGrammar();
  void ForceNext();
  // The pieces of an answer without what follows a stop string in its text.
  std::vector<AnswerPiece> StopAt(std::vector<AnswerPiece> pieces);

  const Tokenizer* tokenizer_;
  int64_t vocab_size_;
  std::span<const int32_t> forbidden_;
  CallFormat calls_;
  int64_t max_tokens_;
  int64_t min_tokens_;
  std::optional<int64_t> top_logprobs_;
  int64_t max_position_;
  std::vector<int32_t> stop_tokens_;
  std::vector<int32_t> script_;
  std::vector<int32_t> tokens_;
  std::vector<PrefixKey> keys_;
  int64_t prompt_size_;
  int64_t position_ = 0;
  Sampler sampler_;
  std::optional<Constraint> constraint_;
  std::span<const uint64_t> mask_;  // of the constraint; empty: no token is left out
  std::deque<int32_t> forced_;      // to be taken next
  bool must_end_ = false;
  Status status_;
  std::optional<StreamDecoder> decoder_;
  AnswerParser parser_;
  StopMatcher stop_;
  int64_t reasoning_tokens_ = 0;
  std::optional<FinishReason> finish_reason_;
};

}  // namespace fulmen
