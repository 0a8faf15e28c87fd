#include "engine/conversation.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace fulmen {

Conversation::Conversation(const Tokenizer& tokenizer, std::optional<ChatFormat> format,
                           std::string system)
    : tokenizer_(tokenizer), format_(format), system_(std::move(system)) {
  FULMEN_CHECK(format_ || system_.empty(), "a system text needs a chat format");
  Reset();
}

Conversation::Conversation(const Tokenizer& tokenizer, const SavedSession& session)
    : Conversation(tokenizer, session.format, session.system) {
  ids_ = session.Ids();
  text_ = TextOf(ids_);
  if (!format_) return;
  for (const Json& message : session.Messages()) messages_.push_back(message);
}

Result<Request> Conversation::AddUser(const std::string& message) {
  const Json messages = {{{"role", "user"}, {"content", message}}};
  if (format_) return Add(messages, nullptr);
  added_ = messages;
  const std::string text = text_.empty() ? message : "\n" + message;
  turn_text_ = text_ + text;
  turn_ids_ = ids_;
  return Asking(tokenizer_.Encode(text, Tokenizer::Markers::kParse, !text_.empty()));
}

Result<Request> Conversation::Add(const Json& messages, const Json& tools) {
  FULMEN_CHECK(format_.has_value(), "messages need a chat format");
  added_ = messages;
  messages_.insert(messages_.end(), messages.begin(), messages.end());
  const Json chat = {{"messages", messages_}, {"tools", tools}, {"add_generation_prompt", true}};
  FULMEN_ASSIGN(const std::vector<PromptPiece> pieces, FormatChat(*format_, chat));
  turn_text_ = ChatText(pieces);
  const std::optional<std::vector<PromptPiece>> remainder = Remainder(pieces);
  // A format may show an answer otherwise than it was given, e.g. without its thoughts.
  turn_ids_ = remainder ? ids_ : std::vector<int32_t>();
  Request request = Asking(
      EncodeChat(tokenizer_, remainder ? *remainder : pieces, /*continues=*/!turn_ids_.empty()));
  request.format = AnswerFormatOf(*format_, tools.is_array() && !tools.empty());
  return request;
}

// The request of the turn, to whose ids `fresh` ones are added.
Request Conversation::Asking(const std::vector<int32_t>& fresh) {
  turn_ids_.insert(turn_ids_.end(), fresh.begin(), fresh.end());
  Request request;
  request.prompt = turn_ids_;
  request.borders = MessageBorders(tokenizer_, request.prompt);
  return request;
}

SavedTurn Conversation::AddAnswer(const GenerateResult& result) {
  // The stop string's tokens were read, but the answer as the format shows it lacks them.
  const bool whole = !format_ || !result.at_stop_string;
  std::string said = result.text;
  if (!result.reasoning.empty()) said = "<think>\n" + result.reasoning + "\n</think>\n" + said;
  SavedTurn turn;
  turn.answer = std::ssize(ids_);
  if (whole) {
    said = TextOf(result.ids);
    text_ = turn_text_ + said;
    turn.kept = std::ranges::mismatch(ids_, turn_ids_).in1 - ids_.begin();
    turn.answer = std::ssize(turn_ids_);
    ids_ = std::exchange(turn_ids_, {});
    ids_.insert(ids_.end(), result.ids.begin(), result.ids.end());
    turn.ids.assign(ids_.begin() + turn.kept, ids_.end());
  } else {
    turn.kept = turn.answer;
  }
  turn.messages = added_;
  turn.messages.push_back({{"role", "assistant"}, {"content", said}});
  if (format_) messages_.push_back(turn.messages.back());
  return turn;
}

std::string Conversation::TextOf(const std::vector<int32_t>& ids) const {
  StreamDecoder decoder(tokenizer_);
  std::string text;
  for (const int32_t id : ids) text += decoder.Add(id);
  return text + decoder.Flush();
}

void Conversation::Withdraw() {
  if (format_) messages_.erase(messages_.end() - std::ssize(added_), messages_.end());
}

void Conversation::Reset() {
  messages_ = Json::array();
  if (!system_.empty()) messages_.push_back({{"role", "system"}, {"content", system_}});
  ids_.clear();
  text_.clear();
}

std::optional<std::vector<PromptPiece>> Conversation::Remainder(
    const std::vector<PromptPiece>& pieces) const {
  if (!ChatText(pieces).starts_with(text_)) return std::nullopt;
  std::vector<PromptPiece> remainder;
  size_t skip = text_.size();
  for (const PromptPiece& piece : pieces) {
    const size_t skipped = std::min(skip, piece.text.size());
    skip -= skipped;
    if (skipped < piece.text.size()) {
      remainder.push_back({piece.text.substr(skipped), piece.trusted});
    }
  }
  return remainder;
}

}  // namespace fulmen
