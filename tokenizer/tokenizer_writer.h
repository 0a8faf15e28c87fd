// The files of a tokenizer as Hugging Face's libraries read them.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/json.h"
#include "base/status.h"
#include "tokenizer/tokenizer_tables.h"

namespace fulmen {

// An entry of added_tokens.
Json AddedTokenJson(int64_t id, const std::string& content, bool special);

// A tokenizer.json of byte-level BPE: ids by spelling, merges as "a b", and added tokens. Text is
// split as in the published models, or else as GPT-2 does.
std::string TokenizerJsonOf(Json vocabulary, Json merges, Json added, bool published_split);

// tokenizer.json and tokenizer_config.json by name, of a tokenizer that splits in one of these
// ways, as every one in GGUF does. Fails for what JSON cannot hold: text that is not UTF-8. `where`
// names the tokenizer in errors.
Result<std::map<std::string, std::string>> TokenizerFilesOf(const TokenizerTables& tables,
                                                            const std::string& where);

}  // namespace fulmen
