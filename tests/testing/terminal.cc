#include "tests/testing/terminal.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "base/check.h"
#include "base/status.h"

namespace fulmen::testing {
namespace {

using Clock = std::chrono::steady_clock;

winsize WindowOf(int rows, int columns) {
  winsize window = {};
  window.ws_row = static_cast<uint16_t>(rows);
  window.ws_col = static_cast<uint16_t>(columns);
  return window;
}

std::vector<char*> Pointers(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Terminal::Terminal(const std::vector<std::string>& command, const TerminalOptions& options)
    : options_(options) {
  // Made before the fork: the child may not allocate.
  std::vector<std::string> arguments = command;
  std::vector<std::string> environment = options.environment;
  const char* path = std::getenv("PATH");
  environment.push_back(std::string("PATH=") + (path == nullptr ? "/usr/bin:/bin" : path));
  const std::vector<char*> argument_pointers = Pointers(arguments);
  const std::vector<char*> environment_pointers = Pointers(environment);
  winsize window = WindowOf(options.rows, options.columns);
  program_ = forkpty(&terminal_, nullptr, nullptr, &window);
  FULMEN_CHECK(program_ >= 0, "{}", ErrnoMessage(errno));
  if (program_ == 0) {
    execvpe(argument_pointers[0], argument_pointers.data(), environment_pointers.data());
    _exit(127);
  }
}

Terminal::~Terminal() {
  if (program_ > 0) {
    kill(-program_, SIGKILL);
    waitpid(program_, nullptr, 0);
  }
  close(terminal_);  // hangs up on all that is left
}

void Terminal::Type(std::string_view keys) const {
  while (!keys.empty()) {
    const ssize_t count = write(terminal_, keys.data(), keys.size());
    FULMEN_CHECK(count > 0 || errno == EINTR, "{}", ErrnoMessage(errno));
    if (count > 0) keys.remove_prefix(static_cast<size_t>(count));
  }
}

void Terminal::Resize(int rows, int columns) const {
  const winsize window = WindowOf(rows, columns);
  FULMEN_CHECK(ioctl(terminal_, TIOCSWINSZ, &window) == 0, "{}", ErrnoMessage(errno));
}

void Terminal::Signal(int signal) const { kill(program_, signal); }

std::string Terminal::WaitFor(std::string_view text) {
  const Clock::time_point deadline = Clock::now() + options_.timeout;
  while (true) {
    if (const size_t found = shown_.find(text, seen_); found != std::string::npos) {
      std::string before = shown_.substr(seen_, found - seen_);
      seen_ = found + text.size();
      return before;
    }
    if (!ReadMore(deadline)) break;
  }
  ADD_FAILURE() << "no \"" << text << "\" in what came since: " << shown_.substr(seen_);
  return "";
}

int Terminal::WaitForEnd() {
  const Clock::time_point deadline = Clock::now() + options_.timeout;
  while (ReadMore(deadline)) {
  }
  int status = 0;
  pid_t ended = waitpid(program_, &status, WNOHANG);
  while (ended == 0 && Clock::now() < deadline) {
    poll(nullptr, 0, 1);
    ended = waitpid(program_, &status, WNOHANG);
  }
  if (ended != program_) {
    ADD_FAILURE() << "still running after: " << shown_.substr(seen_);
    return -1;
  }
  program_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool Terminal::ReadMore(Clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
  pollfd waiting = {terminal_, POLLIN, 0};
  if (left.count() <= 0 || poll(&waiting, 1, static_cast<int>(left.count())) == 0) return false;
  std::array<char, 65536> buffer;
  const ssize_t count = read(terminal_, buffer.data(), buffer.size());
  if (count < 0 && errno == EINTR) return true;
  if (count <= 0) return false;  // EIO once nobody has it open any more
  shown_.append(buffer.data(), static_cast<size_t>(count));
  return true;
}

}  // namespace fulmen::testing
