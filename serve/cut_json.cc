#include "serve/cut_json.h"

#include <optional>
#include <string>
#include <utility>

namespace fulmen {
namespace {

// Walks the beginning of a JSON object and remembers where it could have been closed last.
class Walk {
 public:
  explicit Walk(std::string_view text) : text_(text) {}

  // The text up to there, and closed.
  std::string Closed() {
    while (at_ < text_.size()) Token();
    std::string closed(text_.substr(0, whole_));
    closed.append(closers_at_whole_.rbegin(), closers_at_whole_.rend());
    return closed;
  }

 private:
  void Token() {
    switch (const char c = text_[at_]) {
      case '{':
      case '[':
        closers_ += c == '{' ? '}' : ']';
        key_next_ = c == '{';
        ++at_;
        return Whole();
      case '}':
      case ']':
        if (!closers_.empty()) closers_.pop_back();
        ++at_;
        return Whole();
      case ',':
        key_next_ = closers_.ends_with('}');
        ++at_;
        return;
      case '"':
        return String();
      case ':':
      case ' ':
      case '\n':
      case '\r':
      case '\t':
        ++at_;
        return;
      default:
        return Word();
    }
  }

  void String() {
    size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != '"') end += text_[end] == '\\' ? 2 : 1;
    const bool ended = end < text_.size();
    at_ = ended ? end + 1 : text_.size();
    if (ended && !key_next_) Whole();
    key_next_ = false;
  }

  // A number, which is whole once something follows it, or true, false or null.
  void Word() {
    constexpr std::string_view kEnds = ",]} \n\r\t";
    const size_t end = text_.find_first_of(kEnds, at_);
    const std::string_view word = text_.substr(at_, end - at_);
    at_ = end == std::string_view::npos ? text_.size() : end;
    if (at_ < text_.size() || word == "true" || word == "false" || word == "null") Whole();
  }

  void Whole() {
    whole_ = at_;
    closers_at_whole_ = closers_;
  }

  std::string_view text_;
  size_t at_ = 0;
  bool key_next_ = false;  // the next string is a key
  std::string closers_;    // of what is open, the innermost last
  size_t whole_ = 0;
  std::string closers_at_whole_;
};

// Linear where no key stands twice, and nearly so where one does.
std::optional<Json> Parsed(std::string_view text) {
  if (Result<Json> value = ParseJson(text, "arguments")) return *std::move(value);
  const auto sorted = nlohmann::json::parse(text, nullptr, false);
  return sorted.is_discarded() ? std::nullopt : std::optional<Json>(sorted);
}

}  // namespace

Json WholePartsOf(std::string_view text) {
  std::optional<Json> value = Parsed(text);
  if (!value) value = Parsed(Walk(text).Closed());
  return value && value->is_object() ? *std::move(value) : Json::object();
}

}  // namespace fulmen
