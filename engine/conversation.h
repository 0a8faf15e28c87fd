// A conversation of several turns, as the tokens that were read and sampled: a new turn goes on
// from them, and the engine's prefix cache spares reading them again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "engine/generate.h"
#include "engine/saved_session.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {

// Use: AddUser or Add, Generate its request, then AddAnswer, or Withdraw when that failed. The
// tokenizer must outlive the conversation. Not thread safe.
class Conversation {
 public:
  // Without a format the turns are one text, each turn on a line of its own. `system` may be empty;
  // it needs a format.
  Conversation(const Tokenizer& tokenizer, std::optional<ChatFormat> format, std::string system);

  // One that was kept, to go on with.
  Conversation(const Tokenizer& tokenizer, const SavedSession& session);

  // A request that answers `message`: its prompt is everything said so far. Prompt, borders and
  // format are set.
  Result<Request> AddUser(const std::string& message);
  // The same of several messages, in the shape of the OpenAI API, with `tools` (a list, or null).
  // Needs a format.
  Result<Request> Add(const Json& messages, const Json& tools);
  // Returns the whole turn, to be kept.
  SavedTurn AddAnswer(const GenerateResult& result);
  // Takes back what was added last, which has no answer.
  void Withdraw();
  // Begins anew; the system text stays.
  void Reset();

  // In the shape of the OpenAI API; empty without a format.
  const Json& messages() const { return messages_; }

 private:
  Request Asking(const std::vector<int32_t>& fresh);
  std::string TextOf(const std::vector<int32_t>& ids) const;
  // The pieces without their first text_.size() bytes, when they begin with text_.
  std::optional<std::vector<PromptPiece>> Remainder(const std::vector<PromptPiece>& pieces) const;

  const Tokenizer& tokenizer_;
  std::optional<ChatFormat> format_;
  std::string system_;

  Json messages_ = Json::array();
  // What was said before the turn under way: tokens, and the text they stand for.
  std::vector<int32_t> ids_;
  std::string text_;
  // The same of that turn, up to its answer.
  Json added_ = Json::array();
  std::vector<int32_t> turn_ids_;
  std::string turn_text_;
};

}  // namespace fulmen
