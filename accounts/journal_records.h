// The bytes of a journal: records one behind the other, the first of which has its server's id.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accounts/kept_answer.h"
#include "accounts/price.h"
#include "base/status.h"

namespace fulmen {

struct JournalRecord {
  std::string request;
  TokenCounts tokens;
  std::string outcome;
  int64_t ended = 0;                      // nanoseconds since 1970
  std::optional<KeptAnswer> answer = {};  // without its name, which the request tells
};

struct JournalContents {
  std::string server = {};  // "" where there is no whole first record
  size_t head = 0;          // bytes of that
  std::vector<JournalRecord> records = {};
  size_t whole = 0;  // bytes up to the tail that a crash tore
};

// kCorrupt for what no crash can have left: another file, or records of another version.
Result<JournalContents> ParseJournal(std::string_view bytes);

std::string JournalHead(const std::string& server);
std::string FormatJournalRecord(const JournalRecord& record);

}  // namespace fulmen
