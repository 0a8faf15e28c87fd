#include "accounts/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "accounts/key.h"
#include "base/file_io.h"
#include "base/write_all.h"

namespace fulmen {

Result<std::unique_ptr<Journal>> Journal::Open(const std::string& path) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0) return Fail(ErrorCode::kIo, "cannot write {}: {}", path, ErrnoMessage(errno));
  std::unique_ptr<Journal> journal(new Journal(path, file));
  if (flock(file, LOCK_EX | LOCK_NB) != 0) {
    return Fail(ErrorCode::kUnavailable, "{}: another process has this journal open", path);
  }
  // Its name has to be on the disk before anything is promised to be.
  const std::string folder = (std::filesystem::path(path).parent_path() / ".").string();
  const int above = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = above >= 0 && fsync(above) == 0;
  const int failed = errno;
  if (above >= 0) close(above);
  if (!synced) return journal->Failed(failed);
  FULMEN_TRY(journal->Read());
  return journal;
}

Journal::~Journal() { close(file_); }

Status Journal::Append(const JournalRecord& record) {
  if (!trusted_) {
    return Fail(ErrorCode::kIo, "{}: nothing is written into it after the disk failed", path_);
  }
  FULMEN_TRY(Write(FormatJournalRecord(record)));
  records_.push_back(record);
  return {};
}

Status Journal::Write(const std::string& bytes) {
  if (const int failed = WriteAll(file_, bytes); failed != 0) return Failed(failed);
  if (fsync(file_) != 0) return Failed(errno);
  return {};
}

Status Journal::Clear() {
  if (ftruncate(file_, head_) != 0 || fsync(file_) != 0) return Failed(errno);
  records_.clear();
  return {};
}

Status Journal::Read() {
  FULMEN_ASSIGN(const std::string bytes, ReadFile(path_));
  auto contents = ParseJournal(bytes);
  if (!contents) {
    return Fail(contents.error().code, "{}: {}", path_, contents.error().message);
  }
  if (contents->whole < bytes.size() &&
      (ftruncate(file_, static_cast<off_t>(contents->whole)) != 0 || fsync(file_) != 0)) {
    return Failed(errno);
  }
  server_ = std::move(contents->server);
  head_ = static_cast<int64_t>(contents->head);
  records_ = std::move(contents->records);
  if (head_ > 0) return {};
  server_ = NewServerId();
  const std::string head = JournalHead(server_);
  head_ = std::ssize(head);
  return Write(head);
}

tl::unexpected<Error> Journal::Failed(int number) {
  trusted_ = false;
  return Fail(ErrorCode::kIo, "cannot write {}: {}", path_, ErrnoMessage(number));
}

}  // namespace fulmen
