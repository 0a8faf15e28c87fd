// tokenizer.json, and vocab.json with merges.txt: untrusted bytes into a TokenizerData.
#include <utility>

#include "tokenizer/file_vocabulary.h"
#include "tokenizer/tokenizer_data.h"

namespace fulmen {
namespace {

Result<FileVocabulary> ReadVocabulary(const Json& json, const std::string& where) {
  if (!json.is_object()) {
    return Fail(ErrorCode::kCorrupt, "{}: the vocabulary should be an object, found {}", where,
                Shown(json));
  }
  FileVocabulary vocabulary;
  for (const auto& [spelling, id] : json.items()) {
    FULMEN_ASSIGN(const int64_t number, TokenIdFromJson(id, spelling, where));
    FULMEN_TRY(vocabulary.Add(spelling, number, where));
  }
  return vocabulary;
}

Result<Merges> ReadMerges(const Json& json, const std::string& where) {
  if (!json.is_array()) {
    return Fail(ErrorCode::kCorrupt, "{}: 'merges' should be a list, found {}", where, Shown(json));
  }
  Merges merges;
  merges.reserve(json.size());
  for (const Json& item : json) {
    if (item.is_string()) {
      const auto& line = item.get_ref<const std::string&>();
      FULMEN_ASSIGN(auto merge, MergeFromLine(line, merges.size(), where));
      merges.push_back(std::move(merge));
    } else if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string()) {
      FULMEN_ASSIGN(auto merge,
                    MergeFromSpelling(item[0].get_ref<const std::string&>(),
                                      item[1].get_ref<const std::string&>(), merges.size(), where));
      merges.push_back(std::move(merge));
    } else {
      return Fail(ErrorCode::kCorrupt, "{}: merge {} should be a pair of strings or 'a b'", where,
                  merges.size());
    }
  }
  return merges;
}

Result<Merges> ReadMergesText(std::string_view text, const std::string& where) {
  Merges merges;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with("#version")) continue;
    FULMEN_ASSIGN(auto merge, MergeFromLine(line, merges.size(), where));
    merges.push_back(std::move(merge));
  }
  return merges;
}

Status CheckModel(const Json& model, const std::string& where) {
  if (!model.is_object()) {
    return Fail(ErrorCode::kCorrupt, "{}: 'model' should be an object, found {}", where,
                Shown(model));
  }
  if (const Json& type = Member(model, "type"); !type.is_null() && type != "BPE") {
    return Fail(ErrorCode::kUnsupported, "{}: model type {} is not supported, only BPE", where,
                type.is_string() ? type.get<std::string>() : Shown(type));
  }
  if (const Json& dropout = Member(model, "dropout"); !dropout.is_null() && dropout != 0) {
    return Fail(ErrorCode::kUnsupported, "{}: BPE 'dropout' is not supported", where);
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const Json& affix = Member(model, key);
    if (affix.is_string() && affix.get_ref<const std::string&>().empty()) continue;
    if (!affix.is_null()) {
      return Fail(ErrorCode::kUnsupported, "{}: BPE '{}' is not supported", where, key);
    }
  }
  return {};  // every byte has its token, so unk_token, fuse_unk and byte_fallback cannot matter
}

// Whether the normalizer is NFC; null and an empty Sequence are none.
Result<bool> ReadNormalizer(const Json& json, const std::string& where) {
  if (json.is_null()) return false;
  FULMEN_ASSIGN(const std::string type, StringMember(json, "type", where));
  if (type == "NFC") return true;
  if (type != "Sequence") {
    return Fail(ErrorCode::kUnsupported, "{}: normalizer {} is not supported, only NFC", where,
                type);
  }
  const Json& list = Member(json, "normalizers");
  if (!list.is_array()) {
    return Fail(ErrorCode::kCorrupt, "{}: 'normalizers' of the Sequence should be a list", where);
  }
  for (const Json& item : list) {
    if (Member(item, "type") != "NFC") {
      return Fail(ErrorCode::kUnsupported, "{}: only NFC is supported in a normalizer Sequence",
                  where);
    }
  }
  return !list.empty();
}

// Whether the steps of a TemplateProcessing for one text are that text alone.
bool AddsNothing(const Json& steps) {
  return steps.is_array() && steps.size() == 1 && steps[0].is_object() &&
         steps[0].contains("Sequence");
}

Status CheckPostProcessor(const Json& json, const std::string& where) {
  if (json.is_null()) return {};
  FULMEN_ASSIGN(const std::string type, StringMember(json, "type", where));
  if (type == "ByteLevel") return {};  // changes offsets only
  if (type == "TemplateProcessing" && AddsNothing(Member(json, "single"))) return {};
  if (type == "Sequence") {
    for (const Json& item : Member(json, "processors")) {
      if (Member(item, "type") == "Sequence") {
        return Fail(ErrorCode::kUnsupported, "{}: nested post-processors are not supported", where);
      }
      FULMEN_TRY(CheckPostProcessor(item, where));
    }
    return {};
  }
  return Fail(ErrorCode::kUnsupported, "{}: post-processor {} that adds tokens is not supported",
              where, type);
}

Status CheckDecoder(const Json& json, const std::string& where) {
  const Json* decoder = &json;
  if (const Json& list = Member(json, "decoders"); list.is_array() && list.size() == 1) {
    decoder = &list[0];
  }
  if (Member(*decoder, "type") == "ByteLevel") return {};
  const Json& type = Member(*decoder, "type");
  return Fail(ErrorCode::kUnsupported, "{}: decoder {} is not supported, only ByteLevel", where,
              type.is_string() ? type.get<std::string>() : Shown(type));
}

}  // namespace

Result<int64_t> TokenIdFromJson(const Json& id, std::string_view token, const std::string& where) {
  constexpr int64_t kLargest = Vocabulary::kMaxSize - 1;
  if (const auto number = IntegerIn(id, 0, kLargest)) return *number;
  return Fail(ErrorCode::kCorrupt,
              "{}: the id of token '{}' should be a whole number from 0 to {}, found {}", where,
              token, kLargest, Shown(id));
}

Result<AddedToken> AddedTokenFromJson(const Json& json, const Json& id, const std::string& where) {
  AddedToken token;
  FULMEN_ASSIGN(token.content, StringMember(json, "content", where));
  FULMEN_ASSIGN(token.id, TokenIdFromJson(id, token.content, where));
  FULMEN_ASSIGN(token.special, BoolMember(json, "special", false, where));
  FULMEN_ASSIGN(token.normalized, BoolMember(json, "normalized", !token.special, where));
  for (const char* key : {"single_word", "lstrip", "rstrip"}) {
    FULMEN_ASSIGN(const bool set, BoolMember(json, key, false, where));
    if (set) {
      return Fail(ErrorCode::kUnsupported, "{}: added token '{}': '{}' is not supported", where,
                  token.content, key);
    }
  }
  return token;
}

Result<TokenizerData> DataFromTokenizerJson(std::string_view text, const std::string& where) {
  FULMEN_ASSIGN(const Json json, ParseJson(text, where));
  if (!json.is_object()) {
    return Fail(ErrorCode::kCorrupt, "{}: an object is expected, found {}", where, Shown(json));
  }
  const Json& model = Member(json, "model");
  FULMEN_TRY(CheckModel(model, where));
  FULMEN_TRY(CheckPostProcessor(Member(json, "post_processor"), where));
  FULMEN_TRY(CheckDecoder(Member(json, "decoder"), where));
  FULMEN_ASSIGN(const bool nfc, ReadNormalizer(Member(json, "normalizer"), where));
  FULMEN_ASSIGN(PreTokenizer pre_tokenizer,
                PreTokenizer::FromJson(Member(json, "pre_tokenizer"), where));
  FULMEN_ASSIGN(const bool ignore_merges, BoolMember(model, "ignore_merges", false, where));
  FULMEN_ASSIGN(FileVocabulary vocabulary, ReadVocabulary(Member(model, "vocab"), where));
  FULMEN_ASSIGN(const Merges merges, ReadMerges(Member(model, "merges"), where));
  FULMEN_ASSIGN(TokenizerData data, BuildData(std::move(vocabulary), merges, ignore_merges, where));
  data.nfc = nfc;
  data.pre_tokenizer = std::move(pre_tokenizer);
  const Json& added = Member(json, "added_tokens");
  if (!added.is_null() && !added.is_array()) {
    return Fail(ErrorCode::kCorrupt, "{}: 'added_tokens' should be a list, found {}", where,
                Shown(added));
  }
  for (const Json& item : added) {
    FULMEN_ASSIGN(const AddedToken token, AddedTokenFromJson(item, Member(item, "id"), where));
    FULMEN_TRY(data.AddToken(token, where));
  }
  return data;
}

Result<TokenizerData> DataFromVocabAndMerges(std::string_view vocab_json, std::string_view merges,
                                             const std::string& where) {
  FULMEN_ASSIGN(const Json json, ParseJson(vocab_json, where + "/vocab.json"));
  FULMEN_ASSIGN(FileVocabulary vocabulary, ReadVocabulary(json, where + "/vocab.json"));
  FULMEN_ASSIGN(const Merges pairs, ReadMergesText(merges, where + "/merges.txt"));
  FULMEN_ASSIGN(TokenizerData data, BuildData(std::move(vocabulary), pairs, false, where));
  data.pre_tokenizer = PreTokenizer::Published();
  return data;
}

}  // namespace fulmen
