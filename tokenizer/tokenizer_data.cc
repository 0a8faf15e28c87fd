#include "tokenizer/tokenizer_data.h"

#include <array>

#include "tokenizer/byte_level.h"

namespace fulmen {
namespace {

constexpr int32_t kPublishedFirstSpecial = 200000;
constexpr int32_t kPublishedSize = 200064;

struct PublishedToken {
  int32_t id;
  const char* content;
};

constexpr std::array<PublishedToken, 13> kPublishedSpecialTokens = {{
    {200000, "<pad>"},
    {200001, "<fim_prefix>"},
    {200002, "<fim_middle>"},
    {200003, "<fim_suffix>"},
    {200004, "<fim_pad>"},
    {200019, "<beginning_of_sentence>"},
    {200020, "<end_of_sentence>"},
    {200021, "<end_of_document>"},
    {200022, "<function_call>"},
    {200023, "<code_interpreter>"},
    {200024, "<speech>"},
    {200025, "<image>"},
    {200034, "<begin_of_document>"},
}};

std::string PublishedContent(int32_t id) {
  for (const PublishedToken& token : kPublishedSpecialTokens) {
    if (token.id == id) return token.content;
  }
  return fmt::format("<reserved_{}>", id);
}

}  // namespace

std::optional<int32_t> TokenizerData::FindSpelled(std::string_view spelling) const {
  const auto added = added_ids.find(spelling);
  if (added != added_ids.end()) return added->second;
  const auto bytes = BytesFromSpelling(spelling);
  return vocabulary().Find(bytes ? *bytes : spelling);
}

Status TokenizerData::AddToken(const AddedToken& token, const std::string& where) {
  if (token.content.empty()) return {};
  if (const auto known = added_ids.find(token.content); known != added_ids.end()) {
    if (known->second == token.id) return {};
    return Fail(ErrorCode::kCorrupt, "{}: added token '{}' has id {} here and {} elsewhere", where,
                token.content, token.id, known->second);
  }
  // The vocabulary's own entry of that spelling, if there is one, must be the same token.
  if (const auto bytes = BytesFromSpelling(token.content); bytes) {
    const auto id = vocabulary().Find(*bytes);
    if (id && *id != token.id) {
      return Fail(ErrorCode::kCorrupt,
                  "{}: added token '{}' has id {}, but the vocabulary gives it {}", where,
                  token.content, token.id, *id);
    }
    if (id && *bytes != token.content) bpe.Rename(*id, token.content);
  }
  if (nfc && token.normalized) {
    return Fail(ErrorCode::kUnsupported,
                "{}: added token '{}': `normalized` together with the normalizer NFC is not "
                "supported",
                where, token.content);
  }
  FULMEN_TRY(bpe.vocabulary().Add(token.content, token.id, where));
  const auto id = static_cast<int32_t>(token.id);
  added_ids.emplace(token.content, id);
  (token.normalized ? normalized_markers : markers).Add(token.content, id);
  if (token.special) MarkSpecial(id);
  return {};
}

void TokenizerData::MarkSpecial(int32_t id) {
  if (special.size() <= static_cast<size_t>(id)) special.resize(static_cast<size_t>(id) + 1);
  special[static_cast<size_t>(id)] = true;
}

Status AddPublishedSpecialTokens(TokenizerData& data, const std::string& where) {
  const Vocabulary& vocabulary = data.vocabulary();
  const bool published = vocabulary.size() >= kPublishedFirstSpecial &&
                         vocabulary.size() <= kPublishedSize &&
                         vocabulary.Bytes(kPublishedFirstSpecial - 1).has_value();
  if (!published) return {};
  for (int32_t id = kPublishedFirstSpecial; id < kPublishedSize; ++id) {
    const auto own = vocabulary.Bytes(id);
    FULMEN_TRY(
        data.AddToken({own ? std::string(*own) : PublishedContent(id), id, true, false}, where));
  }
  return {};
}

}  // namespace fulmen
