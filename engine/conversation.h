// A conversation of several turns over one state, so that a new turn costs only its own tokens.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "engine/generate.h"
#include "model/state.h"
#include "model/weights.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {

// Use: AddUser, Generate on state() with its result, then AddAnswer, or Withdraw when that failed.
// Model and tokenizer must outlive the conversation. Not thread safe.
class Conversation {
 public:
  // Without a format the turns are one text, each turn on a line of its own. `system` may be empty;
  // it needs a format. `kv_type` must fit the model (CheckKvType).
  Conversation(const Model& model, const Tokenizer& tokenizer, std::optional<ChatFormat> format,
               std::string system, DType kv_type = DType::kF32);

  // Prompt and history of the request that answers `message`: the tokens state() has yet to read,
  // and those it has read.
  Result<GenerateRequest> AddUser(const std::string& message);
  void AddAnswer(const GenerateRequest& request, const GenerateResult& result);
  // Takes back the last message, which has no answer; what was read of it is forgotten.
  void Withdraw();
  // Begins anew; the system text stays.
  void Reset();

  SequenceState& state() { return state_; }

 private:
  // Forgets what was read, so that the next turn reads everything.
  void ClearState();
  // Forgets what was read since AddUser.
  void GoBack();
  // The pieces without their first read_text_.size() bytes, when they begin with read_text_.
  std::optional<std::vector<PromptPiece>> Remainder(const std::vector<PromptPiece>& pieces) const;

  const Tokenizer& tokenizer_;
  std::optional<ChatFormat> format_;
  std::string system_;

  Json messages_ = Json::array();  // with a format
  std::string turn_text_;          // of the turn under way, up to its answer
  // What state_ and unread_ together stand for: history_ was read, unread_ comes next, and both are
  // tokens of read_text_.
  StatePool states_;
  SequenceState state_;
  std::optional<SequenceState> before_;  // as it was before the turn under way
  std::vector<int32_t> history_;
  std::vector<int32_t> unread_;
  std::string read_text_;
};

}  // namespace fulmen
