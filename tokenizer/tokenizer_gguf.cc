// The tokenizer in the metadata of a GGUF model: untrusted values into a TokenizerData.
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "tokenizer/file_vocabulary.h"
#include "tokenizer/tokenizer_data.h"

namespace fulmen {
namespace {

constexpr const char* kModelKey = "tokenizer.ggml.model";
constexpr const char* kSplitKey = "tokenizer.ggml.pre";
constexpr const char* kTokensKey = "tokenizer.ggml.tokens";
constexpr const char* kTypesKey = "tokenizer.ggml.token_type";
constexpr const char* kMergesKey = "tokenizer.ggml.merges";
constexpr const char* kBosKey = "tokenizer.ggml.bos_token_id";
constexpr const char* kEosKey = "tokenizer.ggml.eos_token_id";
// Others that are special whatever type they are given.
constexpr std::array kSpecialKeys = {
    "tokenizer.ggml.unknown_token_id",   "tokenizer.ggml.padding_token_id",
    "tokenizer.ggml.seperator_token_id", "tokenizer.ggml.cls_token_id",
    "tokenizer.ggml.mask_token_id",      "tokenizer.ggml.eot_token_id",
    "tokenizer.ggml.eom_token_id"};
constexpr std::array kAddingKeys = {"tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token",
                                    "tokenizer.ggml.add_space_prefix"};
// Names of the published split pattern, which is that of o200k.
constexpr std::array<std::string_view, 2> kPublishedSplits = {"minimax-m2", "gpt-4o"};
constexpr std::string_view kGpt2Split = "gpt-2";

// As the container numbers them.
enum class TokenType : uint8_t {
  kNormal = 1,
  kUnknown,
  kControl,
  kUserDefined,
  kUnused,
  kByte,
};

Result<PreTokenizer> SplitOf(const GgufHeader& header, const std::string& where) {
  FULMEN_ASSIGN(const std::string_view name, header.FindString(kSplitKey, where));
  if (std::ranges::find(kPublishedSplits, name) != kPublishedSplits.end()) {
    return PreTokenizer::Published();
  }
  if (name == kGpt2Split) {
    return PreTokenizer::FromJson(Json{{"type", "ByteLevel"}, {"add_prefix_space", false}}, where);
  }
  return Fail(ErrorCode::kUnsupported, "{}: {} is \"{}\", {} and {} are supported", where,
              kSplitKey, name, fmt::join(kPublishedSplits, ", "), kGpt2Split);
}

Status CheckModel(const GgufHeader& header, const std::string& where) {
  if (header.Find(kModelKey) == nullptr) {
    return Fail(ErrorCode::kNotFound, "{}: the file holds no tokenizer", where);
  }
  FULMEN_ASSIGN(const std::string_view model, header.FindString(kModelKey, where));
  if (model != "gpt2") {
    return Fail(ErrorCode::kUnsupported,
                "{}: {} is \"{}\", only \"gpt2\", byte-level BPE, is supported", where, kModelKey,
                model);
  }
  for (const char* key : kAddingKeys) {
    const GgufValue* adds = header.Find(key);
    if (adds == nullptr || adds->array || adds->ToJson() == false) continue;
    return Fail(ErrorCode::kUnsupported, "{}: {} should be false, found {}", where, key,
                Shown(adds->ToJson()));
  }
  return {};
}

Result<std::span<const std::string_view>> StringsOf(const GgufHeader& header, const char* key,
                                                    const std::string& where) {
  const GgufValue* value = header.Find(key);
  if (value != nullptr && value->array && value->type == GgufType::kString) return value->strings;
  return Fail(ErrorCode::kCorrupt, "{}: {} should be an array of strings, found {}", where, key,
              value == nullptr ? "nothing" : "another value");
}

// The type of every token; all are normal where the file does not say.
Result<std::vector<TokenType>> TypesOf(const GgufHeader& header, size_t tokens,
                                       const std::string& where) {
  std::vector<TokenType> types(tokens, TokenType::kNormal);
  const GgufValue* value = header.Find(kTypesKey);
  if (value == nullptr) return types;
  if (!value->array || value->size != tokens) {
    return Fail(ErrorCode::kCorrupt, "{}: {} should be an array of {} numbers, found {}", where,
                kTypesKey, tokens,
                value->array ? fmt::format("{} values", value->size) : Shown(value->ToJson()));
  }
  for (size_t i = 0; i < tokens; ++i) {
    const int64_t type = value->Integer(i).value_or(0);
    if (type < 1 || type > static_cast<int64_t>(TokenType::kUnused)) {
      return Fail(ErrorCode::kUnsupported,
                  "{}: {}[{}] should be from 1 to {}, found {}; byte-level vocabularies have no "
                  "other tokens",
                  where, kTypesKey, i, static_cast<int>(TokenType::kUnused),
                  Shown(value->Element(i)));
    }
    types[i] = static_cast<TokenType>(type);
  }
  return types;
}

// A token of the vocabulary under `key`; nullopt where there is none.
Result<std::optional<int32_t>> NamedId(const GgufHeader& header, const char* key,
                                       const TokenizerData& data, const std::string& where) {
  const GgufValue* value = header.Find(key);
  if (value == nullptr) return std::optional<int32_t>();
  const int64_t id = value->array ? -1 : value->Integer().value_or(-1);
  if (data.vocabulary().Bytes(id)) return static_cast<int32_t>(id);
  return Fail(ErrorCode::kCorrupt, "{}: {} should be a token of the vocabulary, found {}", where,
              key, value->array ? "an array" : Shown(value->ToJson()));
}

// As for what tokenizer_config.json names: a marker and special.
Status MarkNamed(std::optional<int32_t> id, std::span<const std::string_view> tokens,
                 const std::string& where, TokenizerData& data) {
  if (!id) return {};
  const auto index = static_cast<size_t>(*id);
  FULMEN_TRY(data.AddToken({std::string(tokens[index]), *id, true, false}, where));
  data.MarkSpecial(*id);
  return {};
}

Status AddNamed(const GgufHeader& header, std::span<const std::string_view> tokens,
                const std::string& where, TokenizerData& data) {
  FULMEN_ASSIGN(data.bos_id, NamedId(header, kBosKey, data, where));
  FULMEN_ASSIGN(data.eos_id, NamedId(header, kEosKey, data, where));
  FULMEN_TRY(MarkNamed(data.bos_id, tokens, where, data));
  FULMEN_TRY(MarkNamed(data.eos_id, tokens, where, data));
  for (const char* key : kSpecialKeys) {
    FULMEN_ASSIGN(const std::optional<int32_t> id, NamedId(header, key, data, where));
    FULMEN_TRY(MarkNamed(id, tokens, where, data));
  }
  return {};
}

}  // namespace

Result<TokenizerData> DataFromGguf(const GgufHeader& header, const std::string& where) {
  FULMEN_TRY(CheckModel(header, where));
  FULMEN_ASSIGN(PreTokenizer split, SplitOf(header, where));
  FULMEN_ASSIGN(const auto tokens, StringsOf(header, kTokensKey, where));
  FULMEN_ASSIGN(const std::vector<TokenType> types, TypesOf(header, tokens.size(), where));
  FULMEN_ASSIGN(const auto merge_lines, StringsOf(header, kMergesKey, where));
  FileVocabulary vocabulary;
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (types[id] != TokenType::kNormal) continue;
    FULMEN_TRY(vocabulary.Add(tokens[id], static_cast<int64_t>(id), where));
  }
  Merges merges;
  for (const std::string_view line : merge_lines) {
    FULMEN_ASSIGN(Merge merge, MergeFromLine(line, merges.size(), where));
    merges.push_back(std::move(merge));
  }
  FULMEN_ASSIGN(TokenizerData data, BuildData(std::move(vocabulary), merges, false, where));
  data.pre_tokenizer = std::move(split);
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (types[id] == TokenType::kNormal || types[id] == TokenType::kUnused) continue;
    const bool special = types[id] != TokenType::kUserDefined;
    FULMEN_TRY(
        data.AddToken({std::string(tokens[id]), static_cast<int64_t>(id), special, false}, where));
  }
  FULMEN_TRY(AddNamed(header, tokens, where, data));
  FULMEN_ASSIGN(data.chat_template, header.FindString("tokenizer.chat_template", where));
  return data;
}

}  // namespace fulmen
