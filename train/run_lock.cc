#include "train/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <utility>

#include "base/file_io.h"
#include "base/json.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

std::string HostName() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "?";
}

std::string TimeNow() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &utc);
  return text.data();
}

// What a holder wrote, in words.
std::string HolderAt(const std::string& path) {
  const Result<Json> json = ReadJsonFile(path);
  try {
    if (json) {
      return fmt::format("process {} on {} since {}", json->at("process").get<int64_t>(),
                         json->at("host").get<std::string>(), json->at("since").get<std::string>());
    }
  } catch (const nlohmann::json::exception&) {
    // Said below.
  }
  return "another process";  // which has not written who it is yet
}

// Whether the open file is still the one at `path`, which its last holder may have removed.
bool StandsAt(int file, const std::string& path) {
  struct stat opened {};
  struct stat named {};
  return fstat(file, &opened) == 0 && stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

bool WriteHolder(int file) {
  const std::string text =
      Json{{"process", getpid()}, {"host", HostName()}, {"since", TimeNow()}}.dump() + "\n";
  return ftruncate(file, 0) == 0 &&
         pwrite(file, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
}

}  // namespace

Result<RunLock> RunLock::Acquire(const std::string& folder, std::string& warning) {
  const auto fail = [&](const std::string& why) {
    return Fail(ErrorCode::kIo, "cannot write {}: {}", folder, why);
  };
  RunLock lock;
  std::error_code error;
  for (fs::path missing = fs::absolute(folder).lexically_normal(); !fs::exists(missing, error);
       missing = missing.parent_path()) {
    if (missing.has_filename()) lock.made_.push_back(missing.string());
  }
  fs::create_directories(folder, error);
  if (error) return fail(error.message());
  const std::string path = fmt::format("{}/{}", folder, kFileName);
  do {
    if (lock.file_ >= 0) close(lock.file_);
    lock.file_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (lock.file_ < 0) return fail(ErrnoMessage(errno));
    if (flock(lock.file_, LOCK_EX | LOCK_NB) == 0) continue;
    if (errno == EWOULDBLOCK) {
      return Fail(ErrorCode::kUnavailable, "{} is being trained in by {}", folder, HolderAt(path));
    }
    warning = fmt::format("{} cannot be locked ({}): see that nothing else trains in it", folder,
                          ErrnoMessage(errno));
    break;
  } while (!StandsAt(lock.file_, path));
  lock.path_ = path;
  if (!WriteHolder(lock.file_)) return fail(ErrnoMessage(errno));
  return lock;
}

RunLock::RunLock(RunLock&& other) noexcept
    : path_(std::exchange(other.path_, {})),
      made_(std::exchange(other.made_, {})),
      file_(std::exchange(other.file_, -1)) {}

RunLock::~RunLock() {
  if (!path_.empty()) unlink(path_.c_str());
  if (file_ >= 0) close(file_);
  for (const std::string& folder : made_) rmdir(folder.c_str());
}

}  // namespace fulmen
