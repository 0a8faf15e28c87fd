// Text in sessions: in their titles, and in what was said.
#pragma once

#include <SQLiteCpp/Database.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "engine/session_rows.h"

namespace fulmen {

// A text that is looked for, whatever the case of its letters. All its characters stand for
// themselves.
class SearchText {
 public:
  explicit SearchText(std::string_view text);

  // Some 120 characters of `text` around the first place where it is; nullopt where it is not.
  std::optional<std::string> ExcerptOf(std::string_view text) const;

 private:
  std::u32string lower_;
};

struct SessionMatch {
  std::optional<int64_t> turn;  // from 0; nullopt: in metadata.title
  std::string excerpt;
};

// The first place in a session that has the text. Turns are read one after another, never all.
// Throws what SQLite does.
std::optional<SessionMatch> FindInSession(SQLite::Database& database, const SessionRow& row,
                                          const SearchText& text);

}  // namespace fulmen
