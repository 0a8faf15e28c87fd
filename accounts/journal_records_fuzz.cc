// libFuzzer target: any bytes as a journal, and as the text of its records.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "accounts/journal_records.h"

// What was read is written as something that reads alike.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)fulmen::ParseJournal(text);
  // Behind a head that is good, so that the checksum is no wall.
  const auto contents = fulmen::ParseJournal(
      fulmen::JournalHead("server_") +
      fulmen::FormatJournalRecord({.request = std::string(text), .outcome = "stop"}));
  if (!contents || contents->records.size() != 1) abort();
  return 0;
}
