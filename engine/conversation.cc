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
  Request request;
  std::vector<int32_t> fresh;
  turn_ids_ = ids_;
  message_ = message;
  if (format_) {
    messages_.push_back({{"role", "user"}, {"content", message}});
    Json chat = {{"messages", messages_}, {"tools", nullptr}, {"add_generation_prompt", true}};
    FULMEN_ASSIGN(const std::vector<PromptPiece> pieces, FormatChat(*format_, chat));
    turn_text_ = ChatText(pieces);
    const std::optional<std::vector<PromptPiece>> remainder = Remainder(pieces);
    // A format may show an answer otherwise than it was given, e.g. without its thoughts.
    if (!remainder) turn_ids_.clear();
    fresh = EncodeChat(tokenizer_, remainder ? *remainder : pieces, !turn_ids_.empty());
    request.format = AnswerFormatOf(*format_, /*tools=*/false);
  } else {
    const std::string text = text_.empty() ? message : "\n" + message;
    turn_text_ = text_ + text;
    fresh = tokenizer_.Encode(text, Tokenizer::Markers::kParse, !text_.empty());
  }
  turn_ids_.insert(turn_ids_.end(), fresh.begin(), fresh.end());
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
  turn.messages = {{{"role", "user"}, {"content", message_}},
                   {{"role", "assistant"}, {"content", said}}};
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
  if (!messages_.empty()) messages_.erase(messages_.size() - 1);
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
