#include "engine/conversation.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace fulmen {

Conversation::Conversation(const Model& model, const Tokenizer& tokenizer,
                           std::optional<ChatFormat> format, std::string system, DType kv_type)
    : tokenizer_(tokenizer),
      format_(format),
      system_(std::move(system)),
      states_(model.config, {.kv_type = kv_type}),
      state_(states_.Create().value()) {
  FULMEN_CHECK(format_ || system_.empty(), "a system text needs a chat format");
  Reset();
}

Result<GenerateRequest> Conversation::AddUser(const std::string& message) {
  GenerateRequest request;
  std::vector<int32_t> fresh;
  if (format_) {
    messages_.push_back({{"role", "user"}, {"content", message}});
    Json chat = {{"messages", messages_}, {"tools", nullptr}, {"add_generation_prompt", true}};
    FULMEN_ASSIGN(const std::vector<PromptPiece> pieces, FormatChat(*format_, chat));
    turn_text_ = ChatText(pieces);
    const std::optional<std::vector<PromptPiece>> remainder = Remainder(pieces);
    // A format may show an answer otherwise than it was given, e.g. without its thoughts.
    if (!remainder) ClearState();
    fresh = EncodeChat(tokenizer_, remainder ? *remainder : pieces, !read_text_.empty());
  } else {
    const std::string text = read_text_.empty() ? message : "\n" + message;
    turn_text_ = read_text_ + text;
    fresh = tokenizer_.Encode(text, Tokenizer::Markers::kParse, !read_text_.empty());
  }
  FULMEN_ASSIGN(before_, state_.Fork());
  request.prompt = unread_;
  request.prompt.insert(request.prompt.end(), fresh.begin(), fresh.end());
  request.history = history_;
  return request;
}

void Conversation::AddAnswer(const GenerateRequest& request, const GenerateResult& result) {
  if (format_) messages_.push_back({{"role", "assistant"}, {"content", result.text}});
  // The stop string's tokens were read, but the answer as the format shows it lacks them.
  if (format_ && result.at_stop_string) return GoBack();
  history_.insert(history_.end(), request.prompt.begin(), request.prompt.end());
  history_.insert(history_.end(), result.ids.begin(), result.ids.end());
  history_.resize(history_.size() - result.unread.size());
  unread_ = result.unread;
  read_text_ = turn_text_ + result.text;
  before_.reset();
}

void Conversation::Withdraw() {
  if (!messages_.empty()) messages_.erase(messages_.size() - 1);
  GoBack();
}

void Conversation::GoBack() {
  if (before_) state_ = *std::exchange(before_, std::nullopt);
}

void Conversation::Reset() {
  messages_ = Json::array();
  if (!system_.empty()) messages_.push_back({{"role", "system"}, {"content", system_}});
  ClearState();
}

void Conversation::ClearState() {
  before_.reset();
  state_ = states_.Create().value();
  history_.clear();
  unread_.clear();
  read_text_.clear();
}

std::optional<std::vector<PromptPiece>> Conversation::Remainder(
    const std::vector<PromptPiece>& pieces) const {
  if (!ChatText(pieces).starts_with(read_text_)) return std::nullopt;
  std::vector<PromptPiece> remainder;
  size_t skip = read_text_.size();
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
