// The family's chat formats: messages in, a prompt out.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {

enum class ChatFormat : uint8_t { kText01, kVl01, kM1, kM1LlamaCpp };

std::string_view ChatFormatName(ChatFormat format);  // "text-01", "vl-01", "m1", "m1-llama-cpp"
std::optional<ChatFormat> ChatFormatFromName(std::string_view name);
std::vector<std::string> ChatFormatNames();

// Which format a checkpoint's chat template stands for; nullopt when the template is empty; an
// error when it is of a kind we do not know.
Result<std::optional<ChatFormat>> DetectChatFormat(std::string_view chat_template);

// A chat template in Jinja, of ours, that says what FormatChat does; DetectChatFormat takes it for
// `format`.
std::string ChatTemplate(ChatFormat format);

// A prompt in pieces: in trusted pieces marker strings are markers, in the others they are plain
// text. `in_loss`: the assistant's own words and the marker that ends them, which a model learns to
// write; the rest it only reads.
struct PromptPiece {
  std::string text;
  bool trusted;
  bool in_loss = false;
};

// request: {messages: [...], tools: [...] or null, add_generation_prompt: bool (default true)},
// messages as in the OpenAI API, content a string or a list of parts. Errors name the message and
// field.
Result<std::vector<PromptPiece>> FormatChat(ChatFormat format, const Json& request);

// The pieces joined, and the pieces encoded: text between two markers is one string to the
// tokenizer. `continues`: the first piece goes on with text that was encoded before.
std::string ChatText(const std::vector<PromptPiece>& pieces);
std::vector<int32_t> EncodeChat(const Tokenizer& tokenizer, std::span<const PromptPiece> pieces,
                                bool continues = false);

// The same for training: text is also cut where pieces in the loss begin and end, as it is when a
// model is asked to go on after its generation prompt. Parts of one text count as one: the space
// that a tokenizer puts before a text stands before the first of them only.
struct MaskedTokens {
  std::vector<int32_t> ids;
  std::vector<uint8_t> loss_mask;  // as many: 1 in pieces in the loss, else 0
};
MaskedTokens EncodeWithLossMask(const Tokenizer& tokenizer, std::span<const PromptPiece> pieces);

}  // namespace fulmen
