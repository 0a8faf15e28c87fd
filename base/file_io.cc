#include "base/file_io.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "base/console.h"
#include "base/machine.h"
#include "base/write_all.h"

namespace fulmen {
namespace {

// So little is read without asking how much there may be, as AvailableMemory itself does.
constexpr size_t kSmall = size_t{1} << 24;

// Bytes that may be gathered of `file`. A string has twice its length while it grows, and half of
// that again beside it, where the length was not known before.
size_t ReadingLimit(bool regular) {
  const auto memory = static_cast<size_t>(AvailableMemory());
  return regular ? memory : std::min(kLongestStream, memory / 4);
}

// Reads `file` to its end.
Result<std::string> ReadAll(int file, const std::string& name) {
  struct stat info {};
  if (fstat(file, &info) != 0) return Fail(ErrorCode::kIo, "{}: {}", name, ErrnoMessage(errno));
  std::string contents;
  const bool regular = S_ISREG(info.st_mode);
  size_t limit = kSmall;
  if (const auto size = static_cast<size_t>(info.st_size); regular) {
    if (size > limit) limit = ReadingLimit(regular);
    if (size > limit) {
      return Fail(ErrorCode::kInvalidArgument, "{}: {} bytes do not fit into a memory of {} bytes",
                  name, size, limit);
    }
    contents.reserve(size);
  }
  std::array<char, 1 << 16> buffer;
  for (;;) {
    const ssize_t count = read(file, buffer.data(), buffer.size());
    if (count == 0) return contents;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Fail(ErrorCode::kIo, "{}: {}", name, ErrnoMessage(errno));
    const size_t size = contents.size() + static_cast<size_t>(count);
    if (size > limit) limit = ReadingLimit(regular);
    if (size > limit) {
      return Fail(ErrorCode::kInvalidArgument, "{}: at most {} bytes are expected, found more",
                  name, limit);
    }
    contents.append(buffer.data(), static_cast<size_t>(count));
  }
}

struct Target {
  std::string path;
  bool regular;  // else written into as it is
};

// Follows symbolic links to what is to be written, which need not exist.
Result<Target> FindTarget(std::string path) {
  struct stat info {};
  const bool exists = stat(path.c_str(), &info) == 0;
  if (exists && S_ISDIR(info.st_mode)) return Fail(ErrorCode::kIo, "{}", ErrnoMessage(EISDIR));
  if (exists && !S_ISREG(info.st_mode)) return Target{path, false};
  constexpr int kMostLinks = 40;  // as many as the kernel follows
  for (int links = 0; links < kMostLinks; ++links) {
    std::error_code no_link;
    const std::filesystem::path next = std::filesystem::read_symlink(path, no_link);
    if (no_link) return Target{path, true};
    const std::filesystem::path folder = std::filesystem::path(path).parent_path();
    const std::filesystem::path whole = std::filesystem::canonical(folder / ".", no_link);
    if (whole.string().starts_with("/proc/")) return Target{path, false};  // a descriptor
    path = folder / next;
  }
  return Fail(ErrorCode::kIo, "{}", ErrnoMessage(ELOOP));
}

// Where an open file is found that has no name.
std::string PathOf(int file) { return fmt::format("/proc/self/fd/{}", file); }

// A file on the disk of `path` that gets its name at the end: whatever ends the program before, the
// system takes it back. -1 where the file system, or a machine without /proc, cannot.
int OpenNameless(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  const int file = open((folder / ".").c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
  if (file < 0 || access(PathOf(file).c_str(), F_OK) == 0) return file;
  close(file);
  return -1;
}

// Gives a nameless file its name, in place of what has it. False with errno set when it cannot.
bool GiveName(int file, const std::string& path) {
  const auto link = [&](const std::string& name) {
    return linkat(AT_FDCWD, PathOf(file).c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0;
  };
  if (link(path)) return true;
  if (errno != EEXIST) return false;
  Temporary temporary(TemporaryName(path));
  if (!link(temporary.path()) || rename(temporary.path().c_str(), path.c_str()) != 0) return false;
  temporary.Keep();
  return true;
}

}  // namespace

Result<std::string> ReadFile(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return Fail(ErrorCode::kNotFound, "{}: {}", path, ErrnoMessage(errno));
  Result<std::string> contents = ReadAll(file, path);
  close(file);
  return contents;
}

Result<std::string> ReadStandardInput() { return ReadAll(STDIN_FILENO, "standard input"); }

Result<AtomicFile> AtomicFile::Create(const std::string& path) {
  if (path == "-") {
    FULMEN_TRY(FlushOutput());
    AtomicFile file("standard output", fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0));
    if (file.file_ < 0) return file.Refused(errno);
    return file;
  }
  const Result<Target> target = FindTarget(path);
  if (!target) return Fail(ErrorCode::kIo, "cannot write {}: {}", path, target.error().message);
  if (!target->regular) {
    AtomicFile file(path, open(target->path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    if (file.file_ < 0) return file.Refused(errno);
    return file;
  }
  if (const int nameless = OpenNameless(target->path); nameless >= 0) {
    AtomicFile file(path, nameless);
    file.target_ = target->path;
    return file;
  }
  // Named before it is made, so that no moment is left at which a signal would leave it behind.
  Temporary temporary(TemporaryName(target->path));
  AtomicFile file(path,
                  open(temporary.path().c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (file.file_ < 0) return file.Refused(errno);
  file.temporary_.emplace(std::move(temporary));
  file.target_ = target->path;
  return file;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : name_(std::move(other.name_)),
      file_(std::exchange(other.file_, -1)),
      target_(std::move(other.target_)),
      temporary_(std::move(other.temporary_)) {}

AtomicFile::~AtomicFile() {
  if (file_ >= 0) close(file_);
}

tl::unexpected<Error> AtomicFile::Refused(int number) const {
  const bool closed_pipe = number == EPIPE && name_ == "standard output";
  return Fail(closed_pipe ? ErrorCode::kClosedPipe : ErrorCode::kIo, "cannot write {}: {}", name_,
              ErrnoMessage(number));
}

Status AtomicFile::Write(std::string_view text) {
  if (const int error = WriteAll(file_, text)) return Refused(error);
  return {};
}

Status AtomicFile::Flush() {
  if (!target_.empty() && fsync(file_) != 0) return Refused(errno);
  return {};
}

Status AtomicFile::Commit() { return GiveFinalName(/*flush=*/true); }
Status AtomicFile::CommitUnflushed() { return GiveFinalName(/*flush=*/false); }

Status AtomicFile::GiveFinalName(bool flush) {
  if (flush) FULMEN_TRY(Flush());
  if (!target_.empty()) {
    struct stat older {};
    if (stat(target_.c_str(), &older) == 0 && fchmod(file_, older.st_mode & 07777) != 0) {
      return Refused(errno);
    }
    const bool named = temporary_ ? rename(temporary_->path().c_str(), target_.c_str()) == 0
                                  : GiveName(file_, target_);
    if (!named) return Refused(errno);
    if (temporary_) temporary_->Keep();
  }
  if (close(std::exchange(file_, -1)) != 0) return Refused(errno);
  return {};
}

Status WriteFileAtomically(const std::string& path, std::string_view contents) {
  FULMEN_ASSIGN(AtomicFile file, AtomicFile::Create(path));
  FULMEN_TRY(file.Write(contents));
  return file.Commit();
}

}  // namespace fulmen
