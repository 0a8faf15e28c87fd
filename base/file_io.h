// Whole-file reading, and writing that leaves either the whole file or nothing under its final
// name.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/temporaries.h"

namespace fulmen {

// Most bytes that are read of what need not end: a pipe, a device.
constexpr size_t kLongestStream = size_t{1} << 28;

// Refuses what would take more than this process may use of the machine's memory.
Result<std::string> ReadFile(const std::string& path);
// Reads descriptor 0 to its end.
Result<std::string> ReadStandardInput();

// Writes to a file without a name, which Commit() puts into place. Without Commit() nothing is left
// of it, whatever ends the program, and what stood at the name is untouched. Where the file system
// has no nameless files, a temporary beside the file takes its place, which the destructor removes,
// or base/temporaries.h. A symbolic link stays, and what it names is replaced; permissions of an
// older file are kept. "-" is standard output; that, a device, a FIFO and /dev/fd/N are written
// into directly, and are never replaced.
class AtomicFile {
 public:
  static Result<AtomicFile> Create(const std::string& path);
  ~AtomicFile();
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;

  Status Write(std::string_view text);
  Status Write(std::span<const std::byte> bytes) {
    return Write(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
  // Waits until all that was written is on the disk; Commit() has nothing to wait for then.
  Status Flush();
  // Flushes to the disk and renames. Nothing may be written afterwards.
  Status Commit();
  // The same without waiting for the disk: whatever ends the program, the name has the whole file
  // or none, but after a crash of the machine it may have anything. For what carries a checksum.
  Status CommitUnflushed();

 private:
  AtomicFile(std::string name, int file) : name_(std::move(name)), file_(file) {}
  // The error of errno value `number`.
  tl::unexpected<Error> Refused(int number) const;
  Status GiveFinalName(bool flush);

  std::string name_;  // for messages
  int file_ = -1;
  std::string target_;                  // its name in the end; empty when written directly
  std::optional<Temporary> temporary_;  // its name until then, where it has one
};

Status WriteFileAtomically(const std::string& path, std::string_view contents);

}  // namespace fulmen
