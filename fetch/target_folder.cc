#include "fetch/target_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <limits>

namespace fulmen {

FileHandle::~FileHandle() {
  if (file_ >= 0) close(file_);
}

FileHandle& FileHandle::operator=(FileHandle&& other) noexcept {
  if (this == &other) return *this;
  if (file_ >= 0) close(file_);
  file_ = std::exchange(other.file_, -1);
  return *this;
}

Result<TargetFolder> TargetFolder::Create(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return Fail(ErrorCode::kIo, "cannot make the folder {}: {}", path, error.message());
  FULMEN_ASSIGN(std::optional<TargetFolder> folder, OpenIfThere(path));
  if (!folder) return Fail(ErrorCode::kIo, "the folder {} went away", path);
  return *std::move(folder);
}

Result<std::optional<TargetFolder>> TargetFolder::OpenIfThere(const std::string& path) {
  FileHandle folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() >= 0) return TargetFolder(path, std::move(folder));
  if (errno == ENOENT) return std::nullopt;
  return Fail(ErrorCode::kIo, "{}: {}", path, ErrnoMessage(errno));
}

Status TargetFolder::Lock() const {
  if (flock(folder_.get(), LOCK_EX | LOCK_NB) == 0) return {};
  if (errno == EWOULDBLOCK) {
    return Fail(ErrorCode::kConflict, "another fulmen pull is writing into {}", path_);
  }
  // A file system without locks: then nobody else has one, either.
  return {};
}

Result<int64_t> TargetFolder::FreeBytes() const {
  struct statvfs info {};
  if (fstatvfs(folder_.get(), &info) != 0) {
    return Fail(ErrorCode::kIo, "{}: {}", path_, ErrnoMessage(errno));
  }
  const auto bytes = static_cast<double>(info.f_bavail) * static_cast<double>(info.f_frsize);
  constexpr auto kMost = std::numeric_limits<int64_t>::max() / 2;
  return bytes < static_cast<double>(kMost) ? static_cast<int64_t>(bytes) : kMost;
}

Result<TargetFolder::Place> TargetFolder::Find(const std::string& name, bool create) const {
  FileHandle parent(fcntl(folder_.get(), F_DUPFD_CLOEXEC, 0));
  size_t begin = 0;
  for (size_t slash = name.find('/'); slash != std::string::npos; slash = name.find('/', begin)) {
    const std::string part = name.substr(begin, slash - begin);
    if (create && mkdirat(parent.get(), part.c_str(), 0777) != 0 && errno != EEXIST) {
      return Fail(ErrorCode::kIo, "cannot make the folder {}: {}", PathOf(name.substr(0, slash)),
                  ErrnoMessage(errno));
    }
    FileHandle next(
        openat(parent.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (next.get() < 0) {
      const int number = errno;
      return Fail(number == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
                  "{}: expected a folder that is no link: {}", PathOf(name.substr(0, slash)),
                  ErrnoMessage(number));
    }
    parent = std::move(next);
    begin = slash + 1;
  }
  return Place{std::move(parent), name.substr(begin)};
}

std::optional<FileStamp> TargetFolder::Stamp(const std::string& name) const {
  const auto place = Find(name, false);
  struct stat info {};
  if (!place ||
      fstatat(place->parent.get(), place->name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 ||
      !S_ISREG(info.st_mode)) {
    return std::nullopt;
  }
  constexpr int64_t kSecond = 1'000'000'000;
  return FileStamp{info.st_size, info.st_mtim.tv_sec * kSecond + info.st_mtim.tv_nsec};
}

Result<FileHandle> TargetFolder::Open(const std::string& name, int flags) const {
  FULMEN_ASSIGN(const Place place, Find(name, (flags & O_CREAT) != 0));
  FileHandle file(
      openat(place.parent.get(), place.name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, 0666));
  if (file.get() >= 0) return file;
  const int number = errno;
  return Fail(number == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, "{}: {}", PathOf(name),
              ErrnoMessage(number));
}

Status TargetFolder::Rename(const std::string& from, const std::string& to) const {
  FULMEN_ASSIGN(const Place old_place, Find(from, false));
  FULMEN_ASSIGN(const Place new_place, Find(to, true));
  if (renameat(old_place.parent.get(), old_place.name.c_str(), new_place.parent.get(),
               new_place.name.c_str()) == 0) {
    return {};
  }
  return Fail(ErrorCode::kIo, "cannot write {}: {}", PathOf(to), ErrnoMessage(errno));
}

void TargetFolder::Remove(const std::string& name) const {
  const auto place = Find(name, false);
  if (!place) return;
  if (unlinkat(place->parent.get(), place->name.c_str(), 0) != 0) {
    unlinkat(place->parent.get(), place->name.c_str(), AT_REMOVEDIR);
  }
}

}  // namespace fulmen
