#include "tokenizer/tokenizer.h"

#include <algorithm>

#include "base/utf8.h"
#include "formats/model_files.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/tokenizer_data.h"

namespace fulmen {
namespace {

void EncodePlain(const TokenizerData& data, std::string_view text, bool continues,
                 std::vector<int32_t>& ids) {
  std::string normalized;
  if (data.nfc) {
    normalized = NormalizeNfc(text);
    text = normalized;
  }
  data.pre_tokenizer.ForEachPiece(text, continues,
                                  [&](std::string_view piece) { data.bpe.Encode(piece, ids); });
}

}  // namespace

Result<TokenizerData> ReadTokenizerData(const ModelFiles& files) {
  FULMEN_ASSIGN(const TokenizerSource source, files.ReadTokenizer());
  return ReadTokenizerData(source);
}

Result<TokenizerData> ReadTokenizerData(const TokenizerSource& source) {
  if (source.gguf) return DataFromGguf(source.gguf->header(), source.gguf->where());
  TokenizerData data;
  if (source.tokenizer_json) {
    FULMEN_ASSIGN(data,
                  DataFromTokenizerJson(source.tokenizer_json->text, source.tokenizer_json->where));
  } else if (source.vocab && source.merges) {
    FULMEN_ASSIGN(data,
                  DataFromVocabAndMerges(source.vocab->text, source.merges->text, source.where));
  } else {
    return Fail(ErrorCode::kNotFound,
                "{}: expected tokenizer.json, or vocab.json and merges.txt, found neither",
                source.where);
  }
  FULMEN_TRY(AddFilesBeside(source, data));
  return data;
}

Tokenizer::Tokenizer(std::unique_ptr<const TokenizerData> data) : data_(std::move(data)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::Parse(std::string_view tokenizer_json, const std::string& where) {
  FULMEN_ASSIGN(TokenizerData data, DataFromTokenizerJson(tokenizer_json, where));
  return Tokenizer(std::make_unique<const TokenizerData>(std::move(data)));
}

Result<Tokenizer> Tokenizer::Load(const std::string& path) {
  FULMEN_ASSIGN(const ModelFiles files, ModelFiles::Open(path));
  return Load(files);
}

Result<Tokenizer> Tokenizer::Load(const ModelFiles& files) {
  FULMEN_ASSIGN(TokenizerData data, ReadTokenizerData(files));
  return Tokenizer(std::make_unique<const TokenizerData>(std::move(data)));
}

std::vector<int32_t> Tokenizer::Encode(std::string_view text, Markers markers,
                                       bool continues) const {
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3);
  size_t done = 0;
  if (markers == Markers::kParse) {
    for (const Marker& marker : FindMarkers(text)) {
      EncodePlain(*data_, text.substr(done, marker.begin - done), continues, ids);
      ids.push_back(marker.id);
      done = marker.end;
      continues = false;
    }
  }
  EncodePlain(*data_, text.substr(done), continues, ids);
  return ids;
}

size_t Tokenizer::SettledBytes(std::string_view text) const {
  // What normalization makes of a text depends on what follows, but not in ASCII.
  const auto is_ascii = [](char byte) { return static_cast<uint8_t>(byte) < 0x80; };
  if (data_->nfc && !std::ranges::all_of(text, is_ascii)) return 0;
  return data_->pre_tokenizer.SettledBytes(text);
}

std::vector<Tokenizer::Marker> Tokenizer::FindMarkers(std::string_view text) const {
  std::vector<StringMatcher::Match> first;
  data_->markers.FindAll(text, 0, first);
  std::vector<StringMatcher::Match> found;
  size_t done = 0;
  const auto search_gap = [&](size_t end) {
    data_->normalized_markers.FindAll(text.substr(done, end - done), done, found);
  };
  for (const StringMatcher::Match& match : first) {
    search_gap(match.begin);
    found.push_back(match);
    done = match.end;
  }
  search_gap(text.size());
  std::vector<Marker> markers;
  markers.reserve(found.size());
  for (const StringMatcher::Match& match : found) {
    markers.push_back({match.begin, match.end, match.id});
  }
  return markers;
}

Result<std::string> Tokenizer::Decode(std::span<const int32_t> ids) const {
  std::string text;
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto bytes = TokenBytes(ids[i]);
    if (!bytes) {
      return Fail(ErrorCode::kInvalidArgument,
                  "token id {} at position {} is not in the vocabulary of {} tokens", ids[i], i,
                  vocab_size());
    }
    text += *bytes;
  }
  return text;
}

std::optional<std::string_view> Tokenizer::TokenBytes(int32_t id) const {
  return data_->vocabulary().Bytes(id);
}

int64_t Tokenizer::vocab_size() const { return data_->vocabulary().size(); }

std::optional<int32_t> Tokenizer::TokenId(std::string_view token) const {
  const auto added = data_->added_ids.find(token);
  if (added != data_->added_ids.end()) return added->second;
  return data_->vocabulary().Find(token);
}

bool Tokenizer::IsSpecial(int32_t id) const {
  return id >= 0 && static_cast<size_t>(id) < data_->special.size() &&
         data_->special[static_cast<size_t>(id)];
}

std::optional<int32_t> Tokenizer::bos_id() const { return data_->bos_id; }
std::optional<int32_t> Tokenizer::eos_id() const { return data_->eos_id; }
const std::string& Tokenizer::chat_template() const { return data_->chat_template; }

std::string StreamDecoder::Add(int32_t id) {
  const auto bytes = tokenizer_.TokenBytes(id);
  if (!bytes) return "";
  pending_ += *bytes;
  // All but a character that the next token may complete, which is at most three bytes.
  size_t complete = pending_.size();
  const char* end = pending_.data() + pending_.size();
  for (size_t back = 1; back <= std::min<size_t>(3, pending_.size()); ++back) {
    const Utf8Char c = DecodeUtf8(end - back, end);
    if (c.kind == Utf8Char::Kind::kTruncated && c.bytes == back) complete -= back;
    if (c.kind != Utf8Char::Kind::kInvalid) break;
  }
  std::string text = ReplaceInvalidUtf8(std::string_view(pending_).substr(0, complete));
  pending_.erase(0, complete);
  return text;
}

std::string StreamDecoder::Flush() {
  std::string text = ReplaceInvalidUtf8(pending_);
  pending_.clear();
  return text;
}

}  // namespace fulmen
