#include "engine/session_search.h"

#include <utf8proc.h>

#include <algorithm>

#include "base/utf8.h"

namespace fulmen {
namespace {

constexpr size_t kExcerpt = 120;  // characters
constexpr size_t kBefore = 40;    // of them stand before what was found

// The letters of the text in lower case, as many as it has characters.
std::u32string Lower(std::string_view text) {
  std::u32string lower;
  const char* const end = text.data() + text.size();
  for (const char* at = text.data(); at < end;) {
    const Utf8Char character = DecodeUtf8(at, end);
    at += character.bytes;
    const bool valid = character.kind == Utf8Char::Kind::kValid;
    lower +=
        valid
            ? static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(character.code)))
            : U'\uFFFD';
  }
  return lower;
}

// `count` characters of the text from the one at `first`, on one line.
std::string Slice(std::string_view text, size_t first, size_t count) {
  std::string slice;
  const char* const end = text.data() + text.size();
  size_t index = 0;
  for (const char* at = text.data(); at < end && index < first + count; ++index) {
    const Utf8Char character = DecodeUtf8(at, end);
    at += character.bytes;
    if (index < first) continue;
    const bool valid = character.kind == Utf8Char::Kind::kValid;
    const bool is_control = valid && character.code < 0x20;
    AppendUtf8(is_control ? ' ' : valid ? character.code : 0xFFFD, slice);
  }
  return slice;
}

// What was said in a message: its content, or the parts of it that are text.
std::string TextOf(const Json& content) {
  if (content.is_string()) return content;
  std::string text;
  if (!content.is_array()) return text;
  for (const Json& part : content) {
    if (const Json& said = Member(part, "text"); said.is_string()) {
      text += said.get_ref<const std::string&>() + "\n";
    }
  }
  return text;
}

std::optional<std::string> ExcerptOf(const Json& messages, const SearchText& text) {
  for (const Json& message : messages) {
    if (auto excerpt = text.ExcerptOf(TextOf(Member(message, "content")))) return excerpt;
  }
  return std::nullopt;
}

}  // namespace

SearchText::SearchText(std::string_view text) : lower_(Lower(text)) {}

std::optional<std::string> SearchText::ExcerptOf(std::string_view text) const {
  const size_t found = Lower(text).find(lower_);
  if (found == std::u32string::npos) return std::nullopt;
  const size_t first = found - std::min(found, kBefore);
  return Slice(text, first, std::max(kExcerpt, found - first + lower_.size()));
}

std::optional<SessionMatch> FindInSession(SQLite::Database& database, const SessionRow& row,
                                          const SearchText& text) {
  if (const auto title = row.session.metadata.find("title"); title != row.session.metadata.end()) {
    if (auto excerpt = text.ExcerptOf(title->second)) return SessionMatch{{}, *std::move(excerpt)};
  }
  SQLite::Statement turns(database,
                          "SELECT number, messages FROM turns WHERE session = ? ORDER BY number");
  turns.bind(1, row.id);
  while (turns.executeStep()) {
    const auto messages = ParseJson(turns.getColumn(1).getString(), "a turn");
    if (!messages) continue;  // whoever reads the session is told
    if (auto excerpt = ExcerptOf(*messages, text)) {
      return SessionMatch{turns.getColumn(0).getInt64(), *std::move(excerpt)};
    }
  }
  return std::nullopt;
}

}  // namespace fulmen
