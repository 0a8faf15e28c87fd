// A tokenizer for models of random weights, which have none of their own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "formats/model_files.h"
#include "tokenizer/chat.h"

namespace fulmen {

// Every byte has a token, the other ones are a space and short words of letters, the first in the
// alphabet first; then come the family's special tokens, of which <end_of_sentence> ends a text
// and <image> is the very last.
// Any text has tokens, and any tokens are text. nullopt for a vocabulary with no room for the bytes
// and the special tokens. The texts are those of tokenizer.json and tokenizer_config.json, with
// the chat template of `format`.
std::optional<TokenizerSource> StandInTokenizer(int64_t vocabulary,
                                                ChatFormat format = ChatFormat::kText01);

}  // namespace fulmen
