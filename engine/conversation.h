// A conversation of several turns, as the tokens that were read and sampled: a new turn goes on
// from them, and the engine's prefix cache spares reading them again.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "engine/generate.h"
#include "engine/image_reader.h"
#include "engine/prompt_images.h"
#include "engine/saved_session.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {

// Use: AddUser or Add, Generate its request, then AddAnswer, or Withdraw when that failed. The
// tokenizer must outlive the conversation. Not thread safe.
class Conversation {
 public:
  // Without a format the turns are one text, each turn on a line of its own. `system` may be empty;
  // it needs a format. `images`: of a model that reads them, else null.
  Conversation(const Tokenizer& tokenizer, std::optional<ChatFormat> format, std::string system,
               std::shared_ptr<const ImageReader> images = nullptr);

  // One that was kept, to go on with.
  static Result<Conversation> Resume(const Tokenizer& tokenizer, const SavedSession& session,
                                     std::shared_ptr<const ImageReader> images = nullptr);

  // A request that answers `message`: its prompt is everything said so far. Prompt, images, borders
  // and format are set. The images, URLs of them, stand before the text; without a format, where
  // the text says <image>, if it does.
  Result<Request> AddUser(const std::string& message, const std::vector<std::string>& images = {});
  // The same of several messages, in the shape of the OpenAI API, with `tools` (a list, or null).
  // Needs a format.
  Result<Request> Add(const Json& messages, const Json& tools);
  // Returns the whole turn, to be kept.
  SavedTurn AddAnswer(const GenerateResult& result);
  // Takes back what was added last, which has no answer. What could not be added needs no such.
  void Withdraw();
  // Begins anew; the system text stays.
  void Reset();

  // In the shape of the OpenAI API; empty without a format.
  const Json& messages() const { return messages_; }

 private:
  Result<Request> Asking(std::vector<int32_t> fresh);
  Status ReadImages(const Json& messages);
  Result<Request> AskFormatted(const Json& tools);
  Result<Request> Said(Result<Request> request);
  std::string TextOf(std::span<const int32_t> ids, std::span<const PromptImage> placed) const;
  Status PlaceImages();
  // The pieces without their first text_.size() bytes, when they begin with text_.
  std::optional<std::vector<PromptPiece>> Remainder(const std::vector<PromptPiece>& pieces) const;

  const Tokenizer& tokenizer_;
  std::optional<ChatFormat> format_;
  std::string system_;
  std::shared_ptr<const ImageReader> reader_;

  Json messages_ = Json::array();
  // What was said before the turn under way: tokens, and the text they stand for.
  std::vector<int32_t> ids_;
  std::string text_;
  std::vector<PromptImage> placed_;  // the images among the tokens
  // The same of that turn, up to its answer.
  Json added_ = Json::array();
  std::vector<int32_t> turn_ids_;
  std::string turn_text_;
  std::vector<PromptImage> turn_placed_;
  std::vector<std::shared_ptr<const TiledImage>> images_;  // of all messages, the turn's as well
};

}  // namespace fulmen
