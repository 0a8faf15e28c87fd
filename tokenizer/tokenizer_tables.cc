#include "tokenizer/tokenizer_tables.h"

#include <algorithm>

#include "formats/model_files.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/tokenizer_data.h"

namespace fulmen {
namespace {

void AddOrdinaryTokens(const Vocabulary& vocabulary, TokenizerTables& tables) {
  for (int64_t id = 0; id < static_cast<int64_t>(tables.tokens.size()); ++id) {
    const auto bytes = vocabulary.Bytes(id);
    const auto at = static_cast<size_t>(id);
    tables.tokens[at] = bytes ? SpellingFromBytes(*bytes) : fmt::format("[PAD{}]", id);
    tables.kinds[at] = bytes ? TokenKind::kNormal : TokenKind::kUnused;
  }
}

void MarkAddedTokens(const TokenizerData& data, TokenizerTables& tables) {
  for (const auto& [content, id] : data.added_ids) {
    const auto at = static_cast<size_t>(id);
    const bool special = at < data.special.size() && data.special[at];
    tables.tokens[at] = content;
    tables.kinds[at] = special ? TokenKind::kControl : TokenKind::kUserDefined;
  }
}

}  // namespace

Result<TokenizerTables> ReadTokenizerTables(const TokenizerSource& source, int64_t vocab_size) {
  FULMEN_ASSIGN(const TokenizerData data, ReadTokenizerData(source));
  const Vocabulary& vocabulary = data.vocabulary();
  TokenizerTables tables;
  tables.tokens.resize(static_cast<size_t>(std::max(vocab_size, vocabulary.size())));
  tables.kinds.resize(tables.tokens.size());
  AddOrdinaryTokens(vocabulary, tables);
  MarkAddedTokens(data, tables);
  for (const auto& [left, right] : data.bpe.Merges()) {
    tables.merges.push_back(SpellingFromBytes(*vocabulary.Bytes(left)) + " " +
                            SpellingFromBytes(*vocabulary.Bytes(right)));
  }
  tables.published_split = data.pre_tokenizer.IsPublished();
  tables.bos_id = data.bos_id;
  tables.eos_id = data.eos_id;
  tables.chat_template = data.chat_template;
  return tables;
}

}  // namespace fulmen
