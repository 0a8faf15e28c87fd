#include "engine/conversation.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace fulmen {
namespace {

constexpr std::string_view kImageMarker = "<image>";

}  // namespace

Conversation::Conversation(const Tokenizer& tokenizer, std::optional<ChatFormat> format,
                           std::string system, std::shared_ptr<const ImageReader> images)
    : tokenizer_(tokenizer),
      format_(format),
      system_(std::move(system)),
      reader_(std::move(images)) {
  FULMEN_CHECK(format_ || system_.empty(), "a system text needs a chat format");
  Reset();
}

Result<Conversation> Conversation::Resume(const Tokenizer& tokenizer, const SavedSession& session,
                                          std::shared_ptr<const ImageReader> images) {
  Conversation resumed(tokenizer, session.format, session.system, std::move(images));
  resumed.ids_ = session.Ids();
  const Json messages = session.Messages();
  FULMEN_TRY(resumed.ReadImages(messages));
  FULMEN_TRY(resumed.PlaceImages());
  resumed.text_ = resumed.TextOf(resumed.ids_, resumed.placed_);
  if (!session.format) return resumed;
  for (const Json& message : messages) resumed.messages_.push_back(message);
  return resumed;
}

Result<Request> Conversation::AddUser(const std::string& message,
                                      const std::vector<std::string>& images) {
  Json content = message;
  if (!images.empty()) {
    content = Json::array();
    for (const std::string& url : images) {
      content.push_back({{"type", "image_url"}, {"image_url", {{"url", url}}}});
    }
    content.push_back({{"type", "text"}, {"text", message}});
  }
  const Json messages = {{{"role", "user"}, {"content", content}}};
  if (format_) return Add(messages, nullptr);
  FULMEN_TRY(ReadImages(messages));
  added_ = messages;
  std::string text = text_.empty() ? "" : "\n";
  if (message.find(kImageMarker) == std::string::npos) {
    for (size_t i = 0; i < images.size(); ++i) text += kImageMarker;
  }
  text += message;
  turn_text_ = text_ + text;
  turn_ids_ = ids_;
  turn_placed_ = placed_;
  return Said(Asking(tokenizer_.Encode(text, Tokenizer::Markers::kParse, !text_.empty())));
}

Result<Request> Conversation::Add(const Json& messages, const Json& tools) {
  FULMEN_CHECK(format_.has_value(), "messages need a chat format");
  FULMEN_TRY(ReadImages(messages));
  added_ = messages;
  messages_.insert(messages_.end(), messages.begin(), messages.end());
  return Said(AskFormatted(tools));
}

Result<Request> Conversation::AskFormatted(const Json& tools) {
  const Json chat = {{"messages", messages_}, {"tools", tools}, {"add_generation_prompt", true}};
  FULMEN_ASSIGN(const std::vector<PromptPiece> pieces, FormatChat(*format_, chat));
  turn_text_ = ChatText(pieces);
  const std::optional<std::vector<PromptPiece>> remainder = Remainder(pieces);
  // A format may show an answer otherwise than it was given, e.g. without its thoughts.
  turn_ids_ = remainder ? ids_ : std::vector<int32_t>();
  turn_placed_ = remainder ? placed_ : std::vector<PromptImage>();
  FULMEN_ASSIGN(Request request, Asking(EncodeChat(tokenizer_, remainder ? *remainder : pieces,
                                                   /*continues=*/!turn_ids_.empty())));
  request.format = AnswerFormatOf(*format_, tools.is_array() && !tools.empty());
  return request;
}

// What cannot be asked was not said.
Result<Request> Conversation::Said(Result<Request> request) {
  if (!request) Withdraw();
  return request;
}

// The request of the turn, to whose ids `fresh` ones are added.
Result<Request> Conversation::Asking(std::vector<int32_t> fresh) {
  if (reader_ != nullptr) {
    FULMEN_ASSIGN(const std::vector<PromptImage> placed,
                  ExpandImages(std::span(images_).subspan(turn_placed_.size()),
                               reader_->image_token(), fresh));
    for (const PromptImage& image : placed) {
      turn_placed_.push_back({image.first + std::ssize(turn_ids_), image.image});
    }
  }
  turn_ids_.insert(turn_ids_.end(), fresh.begin(), fresh.end());
  Request request;
  request.prompt = turn_ids_;
  request.images = turn_placed_;
  request.borders = MessageBorders(tokenizer_, request.prompt);
  return request;
}

// Those of messages that are added.
Status Conversation::ReadImages(const Json& messages) {
  std::vector<std::shared_ptr<const TiledImage>> read;
  for (const ImagePart& part : ImageParts(messages)) {
    if (reader_ == nullptr) {
      return Fail(ErrorCode::kUnsupported, "{}: the model reads text alone, found an image",
                  part.path);
    }
    FULMEN_ASSIGN(read.emplace_back(), reader_->Read(part.url, part.path));
  }
  images_.insert(images_.end(), read.begin(), read.end());
  return {};
}

// Where the images stand among the tokens of a conversation that was kept.
Status Conversation::PlaceImages() {
  if (reader_ == nullptr) return {};
  const auto is_image = [this](int32_t id) { return id == reader_->image_token(); };
  auto at = ids_.begin();
  for (const auto& image : images_) {
    at = std::find_if(at, ids_.end(), is_image);
    placed_.push_back({at - ids_.begin(), image});
    if (placed_.back().end() > std::ssize(ids_) ||
        !std::all_of(at, at + image->geometry.tokens, is_image)) {
      return Fail(ErrorCode::kCorrupt,
                  "the conversation that was kept does not hold the tokens of its images");
    }
    at += image->geometry.tokens;
  }
  return {};
}

SavedTurn Conversation::AddAnswer(const GenerateResult& result) {
  // The stop string's tokens were read, but the answer as the format shows it lacks them.
  const bool whole = !format_ || !result.at_stop_string;
  std::string said = result.text;
  if (!result.reasoning.empty()) said = "<think>\n" + result.reasoning + "\n</think>\n" + said;
  SavedTurn turn;
  turn.answer = std::ssize(ids_);
  if (whole) {
    said = TextOf(result.ids, {});
    text_ = turn_text_ + said;
    placed_ = std::exchange(turn_placed_, {});
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

// An image is the one marker that formats write for it.
std::string Conversation::TextOf(std::span<const int32_t> ids,
                                 std::span<const PromptImage> placed) const {
  StreamDecoder decoder(tokenizer_);
  std::string text;
  auto image = placed.begin();
  for (int64_t i = 0; i < std::ssize(ids); ++i) {
    text += decoder.Add(ids[static_cast<size_t>(i)]);
    if (image != placed.end() && i == image->first) i = (image++)->end() - 1;
  }
  return text + decoder.Flush();
}

void Conversation::Withdraw() {
  if (format_) messages_.erase(messages_.end() - std::ssize(added_), messages_.end());
  images_.resize(images_.size() - ImageParts(added_).size());
}

void Conversation::Reset() {
  messages_ = Json::array();
  if (!system_.empty()) messages_.push_back({{"role", "system"}, {"content", system_}});
  ids_.clear();
  text_.clear();
  placed_.clear();
  images_.clear();
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
