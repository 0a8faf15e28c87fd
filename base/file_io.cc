#include "base/file_io.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace fulmen {
namespace {

// Reads `file` to its end.
Result<std::string> ReadAll(int file, const std::string& name) {
  std::string contents;
  std::array<char, 1 << 16> buffer;
  for (;;) {
    const ssize_t count = read(file, buffer.data(), buffer.size());
    if (count == 0) return contents;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Fail(ErrorCode::kIo, "{}: {}", name, ErrnoMessage(errno));
    contents.append(buffer.data(), static_cast<size_t>(count));
  }
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
  std::string temporary = path + ".XXXXXX";
  const int file = mkostemp(temporary.data(), O_CLOEXEC);
  if (file < 0) return Fail(ErrorCode::kIo, "cannot write {}: {}", path, ErrnoMessage(errno));
  return AtomicFile(path, temporary, file);
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      file_(std::exchange(other.file_, -1)) {}

AtomicFile::~AtomicFile() {
  if (file_ < 0) return;
  close(file_);
  unlink(temporary_.c_str());
}

Status AtomicFile::Write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(file_, bytes.data(), std::min(bytes.size(), size_t{1} << 30));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Fail(ErrorCode::kIo, "cannot write {}: {}", path_, ErrnoMessage(errno));
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return {};
}

Status AtomicFile::Commit() {
  const mode_t mask = umask(0);  // mkostemp made the file private; give it what open() would have
  umask(mask);
  if (fchmod(file_, 0666 & ~mask) != 0 || fsync(file_) != 0 ||
      rename(temporary_.c_str(), path_.c_str()) != 0) {
    return Fail(ErrorCode::kIo, "cannot write {}: {}", path_, ErrnoMessage(errno));
  }
  close(std::exchange(file_, -1));
  return {};
}

Status WriteFileAtomically(const std::string& path, std::string_view contents) {
  FULMEN_ASSIGN(AtomicFile file, AtomicFile::Create(path));
  FULMEN_TRY(file.Write(contents));
  return file.Commit();
}

}  // namespace fulmen
