// What a tokenizer consists of, spelled out for a file that carries it to other programs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace fulmen {

struct TokenizerSource;  // formats/model_files.h

// As GGUF numbers them in tokenizer.ggml.token_type.
enum class TokenKind : uint8_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

struct TokenizerTables {
  std::vector<std::string> tokens;  // by id; in the byte alphabet, but added tokens as they are
  std::vector<TokenKind> kinds;     // an id without a token is unused, and has a name of its own
  std::vector<std::string> merges;  // "a b" in the byte alphabet, by rank
  bool published_split = false;     // whether text is split as in the published models
  std::optional<int32_t> bos_id;
  std::optional<int32_t> eos_id;
  std::string chat_template;
};

// As Tokenizer::Load reads it; the tables have room for `vocab_size` ids, or for all tokens if
// those are more.
Result<TokenizerTables> ReadTokenizerTables(const TokenizerSource& source, int64_t vocab_size);

}  // namespace fulmen
