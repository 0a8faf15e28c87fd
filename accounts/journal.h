// How requests ended while the database was away: a file of this machine, until they are settled.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "accounts/journal_records.h"
#include "base/status.h"

namespace fulmen {

// It has the id of its server, which whoever opens it next takes over: it is that server, started
// again, and knows that what was under way has crashed. For one thread.
class Journal {
 public:
  // Opens or makes the file, which no other process may have open. A tail that a crash tore is cut
  // off; what is whole before it is in records(). A file that is no journal stays as it is.
  static Result<std::unique_ptr<Journal>> Open(const std::string& path);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  const std::string& server() const { return server_; }

  // Returns when it is on the disk. After an error nothing is written any more: what the file has
  // then is not known.
  Status Append(const JournalRecord& record);
  const std::vector<JournalRecord>& records() const { return records_; }
  // Once all of them are settled.
  Status Clear();

 private:
  Journal(std::string path, int file) : path_(std::move(path)), file_(file) {}
  Status Read();
  Status Write(const std::string& bytes);
  tl::unexpected<Error> Failed(int number);

  const std::string path_;
  const int file_;
  bool trusted_ = true;
  std::string server_;
  int64_t head_ = 0;  // bytes: of the record with its id
  std::vector<JournalRecord> records_;
};

}  // namespace fulmen
