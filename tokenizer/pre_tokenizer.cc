#include "tokenizer/pre_tokenizer.h"

#include <functional>
#include <utility>

namespace fulmen {
namespace {

constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

using Pieces = std::vector<std::string_view>;

// Matches and what lies between them, as the behavior `Isolated` has it.
class Isolate {
 public:
  Isolate(std::string_view text, Pieces& pieces) : text_(text), pieces_(pieces) {}
  void Match(size_t begin, size_t end) {
    Put(begin);
    Put(end);
  }
  void Finish() { Put(text_.size()); }

 private:
  void Put(size_t end) {
    if (end > done_) pieces_.push_back(text_.substr(done_, end - done_));
    done_ = end;
  }

  std::string_view text_;
  Pieces& pieces_;
  size_t done_ = 0;
};

void Split(const PublishedSplit& split, std::string_view text, Pieces& pieces) {
  const char* end = text.data() + text.size();
  for (const char* begin = text.data(); begin != end;) {
    const char* piece_end = split.PieceEnd(begin, end);
    pieces.emplace_back(begin, static_cast<size_t>(piece_end - begin));
    begin = piece_end;
  }
}

void Split(const Regex& regex, std::string_view text, Pieces& pieces) {
  Isolate isolate(text, pieces);
  regex.ForEachMatch(text, [&](size_t begin, size_t end) { isolate.Match(begin, end); });
  isolate.Finish();
}

void Split(const std::string& needle, std::string_view text, Pieces& pieces) {
  Isolate isolate(text, pieces);
  for (size_t at = text.find(needle); at != std::string_view::npos;
       at = text.find(needle, at + needle.size())) {
    isolate.Match(at, at + needle.size());
  }
  isolate.Finish();
}

}  // namespace

PreTokenizer PreTokenizer::Published() {
  PreTokenizer result;
  result.steps_.emplace_back(PublishedSplit());
  return result;
}

Result<PreTokenizer> PreTokenizer::FromJson(const Json& json, const std::string& where) {
  PreTokenizer result;
  if (Member(json, "type") != "Sequence") {
    FULMEN_TRY(result.AddStep(json, true, where));
    return result;
  }
  const Json& list = Member(json, "pretokenizers");
  if (!list.is_array() || list.empty()) {
    return Fail(ErrorCode::kCorrupt, "{}: 'pretokenizers' of the Sequence should be a list", where);
  }
  for (size_t i = 0; i < list.size(); ++i) {
    FULMEN_TRY(result.AddStep(list[i], i + 1 == list.size(), where));
  }
  return result;
}

Status PreTokenizer::AddStep(const Json& json, bool last, const std::string& where) {
  if (!json.is_object()) {
    return Fail(ErrorCode::kUnsupported,
                "{}: a pre-tokenizer of type ByteLevel or Split is expected, found {}", where,
                Shown(json));
  }
  FULMEN_ASSIGN(const std::string type, StringMember(json, "type", where));
  if (type == "ByteLevel" && last) return AddByteLevel(json, where);
  if (type == "Split" && !last) return AddSplit(json, where);
  if (type == "Split" || type == "ByteLevel") {
    return Fail(ErrorCode::kUnsupported,
                "{}: pre-tokenizers are supported that end with ByteLevel and have no other before "
                "it; {} stands where it does not fit",
                where, type);
  }
  return Fail(ErrorCode::kUnsupported, "{}: pre-tokenizer {} is not supported", where, type);
}

Status PreTokenizer::AddSplit(const Json& json, const std::string& where) {
  FULMEN_ASSIGN(const std::string behavior, StringMember(json, "behavior", where));
  if (behavior != "Isolated") {
    return Fail(ErrorCode::kUnsupported, "{}: split behavior {} is not supported, only Isolated",
                where, behavior);
  }
  const Json& pattern = Member(json, "pattern");
  if (const Json& regex = Member(pattern, "Regex"); regex.is_string()) {
    if (regex == kPublishedSplitPattern) {
      steps_.emplace_back(PublishedSplit());
      return {};
    }
    FULMEN_ASSIGN(Regex compiled, Regex::Compile(regex.get<std::string>(), where));
    steps_.emplace_back(std::move(compiled));
    return {};
  }
  if (const Json& needle = Member(pattern, "String"); needle.is_string()) {
    auto text = needle.get<std::string>();
    if (text.empty()) return Fail(ErrorCode::kCorrupt, "{}: an empty split string", where);
    steps_.emplace_back(std::move(text));
    return {};
  }
  return Fail(ErrorCode::kCorrupt, "{}: 'pattern' of Split should hold a Regex or a String", where);
}

Status PreTokenizer::AddByteLevel(const Json& json, const std::string& where) {
  FULMEN_ASSIGN(const bool prefix, BoolMember(json, "add_prefix_space", true, where));
  FULMEN_ASSIGN(const bool use_regex, BoolMember(json, "use_regex", true, where));
  if (prefix) steps_.emplace_back(PrefixSpace());
  if (use_regex) {
    FULMEN_ASSIGN(Regex compiled, Regex::Compile(kGpt2Pattern, where));
    steps_.emplace_back(std::move(compiled));
  }
  return {};
}

size_t PreTokenizer::SettledBytes(std::string_view text) const {
  const auto* split = steps_.size() == 1 ? std::get_if<PublishedSplit>(&steps_[0]) : nullptr;
  if (split == nullptr) return 0;
  const char* const end = text.data() + text.size();
  const char* settled = text.data();
  while (settled != end) {
    const char* piece_end = split->PieceEnd(settled, end);
    if (!split->IsSettled(piece_end, end)) break;
    settled = piece_end;
  }
  return static_cast<size_t>(settled - text.data());
}

std::vector<std::string_view> PreTokenizer::RunSteps(std::string_view text, bool continues,
                                                     std::deque<std::string>& prefixed) const {
  Pieces pieces;
  if (!text.empty()) pieces.push_back(text);
  for (const Step& step : steps_) {
    Pieces next;
    for (const std::string_view piece : pieces) {
      if (std::holds_alternative<PrefixSpace>(step)) {
        const bool bare = piece.starts_with(' ') || (continues && piece.data() == text.data());
        if (!bare) prefixed.emplace_back(" ").append(piece);
        next.push_back(bare ? piece : prefixed.back());
      } else if (const auto* published = std::get_if<PublishedSplit>(&step)) {
        Split(*published, piece, next);
      } else if (const auto* regex = std::get_if<Regex>(&step)) {
        Split(*regex, piece, next);
      } else {
        Split(std::get<std::string>(step), piece, next);
      }
    }
    pieces = std::move(next);
  }
  return pieces;
}

}  // namespace fulmen
