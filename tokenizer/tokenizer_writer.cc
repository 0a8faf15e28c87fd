#include "tokenizer/tokenizer_writer.h"

#include <utility>

#include "base/utf8.h"
#include "tokenizer/published_split.h"

namespace fulmen {
namespace {

// Keys are unique, and an ordered object looks for each before it adds it.
void Append(Json& object, const std::string& key, Json value) {
  std::vector<std::pair<const std::string, Json>>& members = object.get_ref<Json::object_t&>();
  members.emplace_back(key, std::move(value));
}

Json ByteLevel(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

Json PreTokenizerJson(bool published_split) {
  if (!published_split) return ByteLevel(/*use_regex=*/true);
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", kPublishedSplitPattern}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", Json::array({split, ByteLevel(false)})}};
}

}  // namespace

Json AddedTokenJson(int64_t id, const std::string& content, bool special) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

std::string TokenizerJsonOf(Json vocabulary, Json merges, Json added, bool published_split) {
  const Json byte_level = ByteLevel(false);
  const Json json = {{"version", "1.0"},
                     {"truncation", nullptr},
                     {"padding", nullptr},
                     {"added_tokens", std::move(added)},
                     {"normalizer", nullptr},
                     {"pre_tokenizer", PreTokenizerJson(published_split)},
                     {"post_processor", byte_level},
                     {"decoder", byte_level},
                     {"model",
                      {{"type", "BPE"},
                       {"dropout", nullptr},
                       {"unk_token", nullptr},
                       {"continuing_subword_prefix", nullptr},
                       {"end_of_word_suffix", nullptr},
                       {"fuse_unk", false},
                       {"byte_fallback", false},
                       {"ignore_merges", false},
                       {"vocab", std::move(vocabulary)},
                       {"merges", std::move(merges)}}}};
  return json.dump(1) + "\n";
}

Result<std::map<std::string, std::string>> TokenizerFilesOf(const TokenizerTables& tables,
                                                            const std::string& where) {
  Json vocabulary = Json::object();
  Json added = Json::array();
  for (size_t id = 0; id < tables.tokens.size(); ++id) {
    const std::string& token = tables.tokens[id];
    if (!IsUtf8(token)) {
      return Fail(ErrorCode::kUnsupported, "{}: token {}, \"{}\", is not UTF-8, which JSON demands",
                  where, id, token);
    }
    const TokenKind kind = tables.kinds[id];
    if (kind == TokenKind::kUnused) continue;
    if (kind == TokenKind::kNormal) {
      Append(vocabulary, token, id);
    } else {
      added.push_back(AddedTokenJson(static_cast<int64_t>(id), token, kind == TokenKind::kControl));
    }
  }
  if (!IsUtf8(tables.chat_template)) {
    return Fail(ErrorCode::kUnsupported, "{}: the chat template is not UTF-8, which JSON demands",
                where);
  }
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}};
  const auto name = [&](const char* key, std::optional<int32_t> id) {
    if (id) config[key] = tables.tokens[static_cast<size_t>(*id)];
  };
  name("bos_token", tables.bos_id);
  name("eos_token", tables.eos_id);
  config["add_prefix_space"] = false;
  config["clean_up_tokenization_spaces"] = false;
  if (!tables.chat_template.empty()) config["chat_template"] = tables.chat_template;
  return std::map<std::string, std::string>{
      {"tokenizer.json", TokenizerJsonOf(std::move(vocabulary), Json(tables.merges),
                                         std::move(added), tables.published_split)},
      {"tokenizer_config.json", config.dump(1) + "\n"}};
}

}  // namespace fulmen
