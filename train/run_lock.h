// One trainer at a time in a folder.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace fulmen {

// Holds FOLDER/lock, a file with who holds it, locked with flock: the system gives it up with the
// process, however that ends. Movable.
class RunLock {
 public:
  // Makes the folder where it is missing. Fails with kUnavailable when another process holds it,
  // naming its id, host and since when, and with kIo when the folder cannot be written. Where the
  // file system has no locks, `warning` says so and nothing is locked.
  static Result<RunLock> Acquire(const std::string& folder, std::string& warning);
  // Gives the lock up and removes the file, and folders that were made for it and are still empty.
  ~RunLock();
  RunLock(RunLock&& other) noexcept;
  RunLock& operator=(RunLock&&) = delete;

  static constexpr const char* kFileName = "lock";

 private:
  RunLock() = default;

  std::string path_;
  std::vector<std::string> made_;  // folders, the innermost first
  int file_ = -1;
};

}  // namespace fulmen
