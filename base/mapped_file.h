// A file mapped read-only, for files larger than memory. The kernel pages it in and out.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/status.h"

namespace fulmen {

// From now on, when somebody cuts a mapped file short and its lost pages are read, the program says
// so and exits with status 1. Any other SIGBUS does what it did before.
void EndWhenMappedFilesShrink();

// Has the machine read these bytes from their file while the program does something else. Does
// nothing with bytes that are of no mapped file.
void FetchMappedPages(const std::byte* data, size_t bytes);

// Gives the memory of whole pages of these bytes back to the machine, which reads them from the
// file when they are wanted again. Does nothing with bytes that are of no mapped file.
void ReturnMappedPages(const std::byte* data, size_t bytes);

class MappedFile {
 public:
  static Result<MappedFile> Open(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  MappedFile(std::string path, const std::byte* data, size_t size)
      : path_(std::move(path)), data_(data), size_(size) {}

  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace fulmen
