// Whole-file reading, and writing that leaves either the whole file or nothing under its final
// name.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace fulmen {

Result<std::string> ReadFile(const std::string& path);
// Reads descriptor 0 to its end.
Result<std::string> ReadStandardInput();

// Writes to a temporary beside `path`; Commit() renames it into place. Without Commit() the
// temporary is removed by the destructor and whatever stood at `path` is untouched.
class AtomicFile {
 public:
  static Result<AtomicFile> Create(const std::string& path);
  ~AtomicFile();
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;

  Status Write(std::span<const std::byte> bytes);
  Status Write(std::string_view text) { return Write(std::as_bytes(std::span(text))); }
  // Flushes to the disk and renames. Nothing may be written afterwards.
  Status Commit();

 private:
  AtomicFile(std::string path, std::string temporary, int file)
      : path_(std::move(path)), temporary_(std::move(temporary)), file_(file) {}

  std::string path_;
  std::string temporary_;
  int file_ = -1;
};

Status WriteFileAtomically(const std::string& path, std::string_view contents);

}  // namespace fulmen
