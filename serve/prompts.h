// From what an API asks to what an engine takes: messages and text become tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "engine/request.h"
#include "serve/api_error.h"
#include "serve/generation.h"
#include "serve/served_model.h"
#include "tokenizer/chat.h"

namespace fulmen {

// The exact tokens of an answer that was given out under this handle; nullopt where they are not
// known any more.
using RecallAnswer = std::function<std::optional<std::vector<int32_t>>(std::string_view handle)>;

// The tokens of a prompt, and the images that some of them stand for.
struct Prompt {
  std::vector<int32_t> ids;
  std::vector<PromptImage> images = {};
  AnswerFormat format = {};
};
// Linear in the prompt, which may be megabytes: not for the I/O thread. Assistant turns with a
// handle become the tokens that were sampled where these say the same as the turn.
ApiResult<Prompt> MakePrompt(const ServedModel& model, const Generation& generation,
                             const RecallAnswer& recall);

// Refuses images for a model of text, by its name, and more of them than a request may hold.
ApiResult<void> CheckImages(const ServedModel& model, const Json& messages);

// The texts of a message's content, a string or a list of parts, one behind the other.
std::string ContentText(const Json& content);

// The text of a chat's prompt, in the model's format.
ApiResult<std::vector<PromptPiece>> ChatPieces(const ServedModel& model, const ChatPrompt& chat);

// The whole request for `prompt`, checked against the model's context. `space`, `key` and deadline
// are the caller's to set.
ApiResult<Request> MakeRequest(const ServedModel& model, const Generation& generation,
                               Prompt prompt);

}  // namespace fulmen
