#include "base/mapped_file.h"

#include "base/file_kind.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <utility>

#include "base/console.h"
#include "base/temporaries.h"

namespace fulmen {
namespace {

// What is mapped where, for a signal handler: slots are reused but never freed, and one is in use
// while it has a path.
struct Mapping {
  std::atomic<const std::byte*> data{nullptr};
  std::atomic<size_t> size{0};
  std::atomic<char*> path{nullptr};
  Mapping* next = nullptr;
};
std::atomic<Mapping*> mappings{nullptr};
std::mutex changing;  // held by those who change them

void Publish(const std::byte* data, size_t size, const std::string& path) {
  const std::lock_guard<std::mutex> lock(changing);
  Mapping* slot = mappings;
  while (slot != nullptr && slot->path != nullptr) slot = slot->next;
  if (slot == nullptr) {
    slot = new Mapping;
    slot->next = mappings;
    mappings = slot;
  }
  slot->data = data;
  slot->size = size;
  slot->path = strdup(path.c_str());
}

void Withdraw(const std::byte* data) {
  const std::lock_guard<std::mutex> lock(changing);
  for (Mapping* slot = mappings; slot != nullptr; slot = slot->next) {
    if (slot->path == nullptr || slot->data != data) continue;
    std::free(slot->path.exchange(nullptr));
    return;
  }
}

// That of these bytes; null where none is. Call with `changing` held.
const Mapping* MappingOf(const std::byte* data, size_t bytes) {
  for (const Mapping* slot = mappings; slot != nullptr; slot = slot->next) {
    const std::byte* begin = slot->data;
    if (slot->path != nullptr && !std::less<>()(data, begin) &&
        !std::less<>()(begin + slot->size, data + bytes)) {
      return slot;
    }
  }
  return nullptr;
}

size_t PageBytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

struct sigaction bus_error_before;

void OnBusError(int signal, siginfo_t* info, void*) {
  const auto* address = static_cast<const std::byte*>(info->si_addr);
  for (const Mapping* slot = mappings; slot != nullptr; slot = slot->next) {
    const char* path = slot->path;
    const std::byte* data = slot->data;
    if (path == nullptr || std::less<>()(address, data) ||
        !std::less<>()(address, data + slot->size)) {
      continue;
    }
    SayText("fulmen: ");
    SayText(path);
    SayText(": the file was cut short, or its disk failed, while it was being read\n");
    RemoveTemporaries();
    _exit(EXIT_FAILURE);
  }
  // The instruction is tried again; a signal that a program sent has to be sent anew.
  sigaction(signal, &bus_error_before, nullptr);
  if (info->si_code <= 0) raise(signal);
}

}  // namespace

void EndWhenMappedFilesShrink() {
  struct sigaction action = {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, &bus_error_before);
}

void FetchMappedPages(const std::byte* data, size_t bytes) {
  const std::lock_guard<std::mutex> lock(changing);
  const Mapping* mapping = MappingOf(data, bytes);
  if (mapping == nullptr) return;
  const auto begin = static_cast<size_t>(data - mapping->data.load());
  // Of more than a disk's read-ahead the rest would be passed over; the least usual is this much.
  constexpr size_t kPiece = size_t{128} << 10;
  for (size_t at = begin / kPiece * kPiece; at < begin + bytes; at += kPiece) {
    std::byte* piece = const_cast<std::byte*>(mapping->data.load()) + at;
    madvise(piece, std::min(kPiece, mapping->size - at), MADV_WILLNEED);
  }
}

void ReturnMappedPages(const std::byte* data, size_t bytes) {
  const std::lock_guard<std::mutex> lock(changing);
  const Mapping* mapping = MappingOf(data, bytes);
  if (mapping == nullptr) return;
  const std::byte* begin = mapping->data;
  const size_t page = PageBytes();
  const size_t first = (static_cast<size_t>(data - begin) + page - 1) / page * page;
  const size_t end = static_cast<size_t>(data + bytes - begin) / page * page;
  if (first < end) madvise(const_cast<std::byte*>(begin) + first, end - first, MADV_DONTNEED);
}

Result<MappedFile> MappedFile::Open(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO would wait
  if (file < 0) return Fail(ErrorCode::kNotFound, "{}: {}", path, ErrnoMessage(errno));
  struct stat info {};
  if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(file);
    return Fail(ErrorCode::kIo, "{}: expected a regular file, found {}", path, PathKind(path));
  }
  const auto size = static_cast<size_t>(info.st_size);
  void* data = nullptr;
  if (size > 0) {
    data = mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0);
    if (data == MAP_FAILED) {
      const int error = errno;
      close(file);
      return Fail(ErrorCode::kIo, "{}: cannot map {} bytes: {}", path, size, ErrnoMessage(error));
    }
  }
  close(file);  // the mapping keeps the file
  if (data != nullptr) Publish(static_cast<const std::byte*>(data), size, path);
  return MappedFile(path, static_cast<const std::byte*>(data), size);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ == nullptr) return;
  Withdraw(data_);
  munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace fulmen
