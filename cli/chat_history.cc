#include "cli/chat_history.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <system_error>

#include "base/file_io.h"
#include "base/json.h"
#include "cli/state_folder.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

// Bytes; longer turns, as of a pasted book, are not kept.
constexpr size_t kLongestTurn = 64 * 1024;

std::string Line(const std::string& turn) { return DumpJson(turn) + "\n"; }

}  // namespace

ChatHistory::ChatHistory() : path_(StatePath("chat_history.jsonl")) {}

std::vector<std::string> ChatHistory::Load() const {
  std::vector<std::string> turns;
  std::error_code error;
  if (path_.empty() || !fs::is_regular_file(path_, error)) return turns;
  const Result<std::string> contents = ReadFile(path_);
  if (!contents) return turns;
  std::istringstream lines(*contents);
  for (std::string line; std::getline(lines, line);) {
    const Result<Json> turn = ParseJson(line, path_);
    if (turn && turn->is_string()) turns.push_back(turn->get<std::string>());
  }
  if (turns.size() <= kMost) return turns;
  turns.erase(turns.begin(), turns.end() - kMost);
  std::string kept;
  for (const std::string& turn : turns) kept += Line(turn);
  const mode_t before = umask(0077);
  (void)WriteFileAtomically(path_, kept);
  umask(before);
  return turns;
}

void ChatHistory::Add(const std::string& turn) const {
  if (path_.empty() || turn.size() > kLongestTurn) return;
  std::error_code error;
  const fs::path folder = fs::path(path_).parent_path();
  if (fs::create_directories(folder, error)) {
    fs::permissions(folder, fs::perms::owner_all, error);
  }
  // Whole lines in one write each, so that chats side by side do not mix theirs.
  const int file =
      open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0600);
  if (file < 0) return;
  const std::string line = Line(turn);
  (void)!write(file, line.data(), line.size());
  close(file);
}

}  // namespace fulmen
