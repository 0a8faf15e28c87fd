// The small files beside tokenizer.json, or beside vocab.json and merges.txt.
#include <set>

#include "tokenizer/tokenizer_data.h"

namespace fulmen {
namespace {

// The JSON object in the text; null when there is none.
Result<Json> ParseOptional(const std::optional<NamedText>& source) {
  if (!source) return Json();
  FULMEN_ASSIGN(Json json, ParseJson(source->text, source->where));
  if (!json.is_object()) {
    return Fail(ErrorCode::kCorrupt, "{}: an object is expected, found {}", source->where,
                Shown(json));
  }
  return json;
}

// A token of tokenizer_config.json is a string or an object that describes an added token.
std::optional<std::string> TokenContent(const Json& json) {
  const Json& content = json.is_object() ? Member(json, "content") : json;
  return content.is_string() ? std::optional(content.get<std::string>()) : std::nullopt;
}

// The strings that tokenizer_config.json names as special tokens.
std::set<std::string> SpecialContents(const Json& config) {
  std::set<std::string> contents;
  for (const char* key : {"bos_token", "eos_token", "unk_token", "pad_token", "sep_token",
                          "cls_token", "mask_token"}) {
    if (const auto content = TokenContent(Member(config, key))) contents.insert(*content);
  }
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    for (const Json& item : Member(config, key)) {
      if (const auto content = TokenContent(item)) contents.insert(*content);
    }
  }
  return contents;
}

// added_tokens_decoder: {"200019": {"content": …}, …}
Status AddFromConfig(const Json& decoder, const std::string& where, TokenizerData& data) {
  if (!decoder.is_object()) {
    return Fail(ErrorCode::kCorrupt, "{}: 'added_tokens_decoder' should be an object, found {}",
                where, Shown(decoder));
  }
  for (const auto& [key, item] : decoder.items()) {
    if (key.empty() || key.size() > 9 || key.find_first_not_of("0123456789") != std::string::npos) {
      return Fail(ErrorCode::kCorrupt, "{}: 'added_tokens_decoder' has '{}' for a token id", where,
                  key);
    }
    FULMEN_ASSIGN(const AddedToken token, AddedTokenFromJson(item, Json(std::stoll(key)), where));
    FULMEN_TRY(data.AddToken(token, where));
  }
  return {};
}

// added_tokens.json: {"<beginning_of_sentence>": 200019, …}
Status AddFromList(const Json& list, const std::set<std::string>& special, const std::string& where,
                   TokenizerData& data) {
  for (const auto& [content, id] : list.items()) {
    FULMEN_ASSIGN(const int64_t number, TokenIdFromJson(id, content, where));
    const AddedToken token{content, number, special.contains(content), false};
    FULMEN_TRY(data.AddToken(token, where));
  }
  return {};
}

// Special tokens that are ordinary entries of the vocabulary become markers, too.
Status MarkNamedTokens(const std::set<std::string>& contents, const std::string& where,
                       TokenizerData& data) {
  for (const std::string& content : contents) {
    const auto id = data.FindSpelled(content);
    if (!id) continue;
    FULMEN_TRY(data.AddToken({content, *id, true, false}, where));
    data.MarkSpecial(*id);
  }
  return {};
}

Result<std::optional<int32_t>> NamedId(const Json& config, const char* key,
                                       const std::string& where, const TokenizerData& data) {
  const auto content = TokenContent(Member(config, key));
  if (!content) return std::optional<int32_t>();
  if (const auto id = data.FindSpelled(*content)) return id;
  return Fail(ErrorCode::kCorrupt, "{}: '{}' is '{}', which is not in the vocabulary", where, key,
              *content);
}

// A string, or a list of {name, template}, of which "default" counts.
Result<std::string> TemplateOf(const Json& json, const std::string& where) {
  if (json.is_null()) return std::string();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_array()) {
    for (const Json& item : json) {
      if (Member(item, "name") == "default") return StringMember(item, "template", where);
    }
    return std::string();
  }
  return Fail(ErrorCode::kCorrupt, "{}: 'chat_template' should be a string or a list, found {}",
              where, Shown(json));
}

}  // namespace

Status AddFilesBeside(const TokenizerSource& source, TokenizerData& data) {
  const auto where_of = [&](const std::optional<NamedText>& text) {
    return text ? text->where : source.where;
  };
  const bool bare = !source.tokenizer_json;
  const std::string where = where_of(source.tokenizer_config);
  FULMEN_ASSIGN(const Json config, ParseOptional(source.tokenizer_config));
  FULMEN_ASSIGN(const Json added, ParseOptional(source.added_tokens));
  const std::set<std::string> special = SpecialContents(config);

  const Json& decoder = Member(config, "added_tokens_decoder");
  if (!decoder.is_null()) FULMEN_TRY(AddFromConfig(decoder, where, data));
  FULMEN_TRY(AddFromList(added, special, where_of(source.added_tokens), data));
  if (bare && decoder.is_null() && added.is_null()) {
    FULMEN_TRY(AddPublishedSpecialTokens(data, source.where));
  }
  if (bare && Member(config, "add_prefix_space") == true) {
    return Fail(ErrorCode::kUnsupported,
                "{}: 'add_prefix_space' is supported in tokenizer.json only", where);
  }
  FULMEN_TRY(MarkNamedTokens(special, where, data));
  FULMEN_ASSIGN(data.bos_id, NamedId(config, "bos_token", where, data));
  FULMEN_ASSIGN(data.eos_id, NamedId(config, "eos_token", where, data));

  if (source.chat_template) {
    data.chat_template = source.chat_template->text;
  } else {
    FULMEN_ASSIGN(data.chat_template, TemplateOf(Member(config, "chat_template"), where));
  }
  return {};
}

}  // namespace fulmen
