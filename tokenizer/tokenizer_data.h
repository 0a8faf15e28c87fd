// What a Tokenizer holds, and how files fill it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "formats/model_files.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/pre_tokenizer.h"

namespace fulmen {

struct AddedToken {
  std::string content;
  int64_t id = 0;
  bool special = false;
  bool normalized = false;  // searched for after those that are not, between them
};

struct TokenizerData {
  Bpe bpe;  // its vocabulary includes the added tokens
  bool nfc = false;
  PreTokenizer pre_tokenizer;
  StringMatcher markers;             // added tokens that are not normalized
  StringMatcher normalized_markers;  // those that are
  std::map<std::string, int32_t, std::less<>> added_ids;
  std::vector<bool> special;  // by id; shorter than the vocabulary
  std::optional<int32_t> bos_id;
  std::optional<int32_t> eos_id;
  std::string chat_template;

  const Vocabulary& vocabulary() const { return bpe.vocabulary(); }
  // The token that files spell like this: an added one, whose content is literal, or one of the
  // vocabulary, whose entries are written in the byte alphabet or, where they cannot be, literally.
  std::optional<int32_t> FindSpelled(std::string_view spelling) const;
  // An error when it contradicts the vocabulary or an earlier one. Where the vocabulary has it, too
  // (trainers put special tokens there, spelled as they are), its content is literal all the same.
  Status AddToken(const AddedToken& token, const std::string& where);
  void MarkSpecial(int32_t id);
};

// Of a model's files: what Tokenizer::Load reads.
Result<TokenizerData> ReadTokenizerData(const ModelFiles& files);
Result<TokenizerData> ReadTokenizerData(const TokenizerSource& source);

Result<TokenizerData> DataFromTokenizerJson(std::string_view text, const std::string& where);
// The published split pattern; special tokens are still to be added.
Result<TokenizerData> DataFromVocabAndMerges(std::string_view vocab_json, std::string_view merges,
                                             const std::string& where);
// From tokenizer.ggml.* of the metadata. Tokens that a file declares unused are none.
Result<TokenizerData> DataFromGguf(const GgufHeader& header, const std::string& where);
// The published special tokens, if the vocabulary is the published one.
Status AddPublishedSpecialTokens(TokenizerData& data, const std::string& where);
// An object of an added-token list; `id` stands beside it.
Result<AddedToken> AddedTokenFromJson(const Json& json, const Json& id, const std::string& where);
// The id of `token`, which the error names.
Result<int64_t> TokenIdFromJson(const Json& id, std::string_view token, const std::string& where);

// What tokenizer_config.json, added_tokens.json and chat_template.jinja add, where present. Without
// a tokenizer.json, special tokens that no file names are the published ones.
Status AddFilesBeside(const TokenizerSource& source, TokenizerData& data);

}  // namespace fulmen
