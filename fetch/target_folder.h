// The folder that files are fetched into. Names in it are relative (CheckFileName), and no symbolic
// link is followed below it, so nothing is read or written outside.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "base/status.h"

namespace fulmen {

// An open file or folder, closed at the end.
class FileHandle {
 public:
  explicit FileHandle(int file = -1) : file_(file) {}
  ~FileHandle();
  FileHandle(FileHandle&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  FileHandle& operator=(FileHandle&& other) noexcept;

  int get() const { return file_; }

 private:
  int file_;
};

// What tells that a file is as it was.
struct FileStamp {
  int64_t size = 0;
  int64_t modified = 0;  // nanoseconds since 1970

  bool operator==(const FileStamp&) const = default;
};

// Safe to share between threads.
class TargetFolder {
 public:
  // Makes the folder, and those above it, where they are missing.
  static Result<TargetFolder> Create(const std::string& path);
  // nullopt where there is none.
  static Result<std::optional<TargetFolder>> OpenIfThere(const std::string& path);

  const std::string& path() const { return path_; }
  std::string PathOf(const std::string& name) const { return path_ + "/" + name; }

  // Until the folder is closed or the process ends, whatever ends it; fails where another process
  // has done the same.
  Status Lock() const;
  // That this process may still write on the folder's disk.
  Result<int64_t> FreeBytes() const;
  // Of a regular file; nullopt of anything else and of nothing.
  std::optional<FileStamp> Stamp(const std::string& name) const;
  // `flags` as open() takes them; with O_CREAT the folders above the file are made, too.
  Result<FileHandle> Open(const std::string& name, int flags) const;
  // Replaces what has the new name, unless it is a folder.
  Status Rename(const std::string& from, const std::string& to) const;
  // A file or an empty folder; nothing there is as good.
  void Remove(const std::string& name) const;

 private:
  TargetFolder(std::string path, FileHandle folder)
      : path_(std::move(path)), folder_(std::move(folder)) {}

  struct Place {
    FileHandle parent;
    std::string name;
  };
  Result<Place> Find(const std::string& name, bool create) const;

  std::string path_;
  FileHandle folder_;
};

}  // namespace fulmen
