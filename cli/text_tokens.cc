#include "cli/text_tokens.h"

#include "cli/input.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {

Result<std::vector<int32_t>> ReadTextTokens(const std::string& path, const ModelFiles& files,
                                            const Config& config) {
  FULMEN_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(files));
  FULMEN_ASSIGN(const std::string text, ReadInput(path));
  std::vector<int32_t> ids = tokenizer.Encode(text, Tokenizer::Markers::kPlain);
  for (const int32_t id : ids) {
    if (id < config.vocab_size) continue;
    return Fail(ErrorCode::kInvalidArgument,
                "{}: token id {} of the tokenizer is outside the model's vocabulary of {}",
                InputName(path), id, config.vocab_size);
  }
  return ids;
}

}  // namespace fulmen
