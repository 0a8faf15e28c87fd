#include "tests/testing/thread_count.h"

#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/check.h"
#include "base/status.h"

namespace fulmen::testing {
namespace {

// In the child.
[[noreturn]] void Start(std::vector<char*>& arguments, const char* folder) {
  const int nowhere = open("/dev/null", O_RDWR);
  for (const int file : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(nowhere, file);
  if (chdir(folder) == 0 && ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0) {
    execv(arguments[0], arguments.data());
  }
  _exit(99);
}

}  // namespace

int CountThreads(std::vector<std::string> command, const std::string& folder) {
  std::vector<char*> arguments;
  for (std::string& word : command) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t child = fork();
  FULMEN_CHECK(child >= 0, "{}", ErrnoMessage(errno));
  if (child == 0) Start(arguments, folder.c_str());

  int threads = 0;
  bool started = false;
  while (true) {
    int status = 0;
    const pid_t stopped = waitpid(-1, &status, __WALL);
    FULMEN_CHECK(stopped > 0, "{}", ErrnoMessage(errno));
    if (WIFSTOPPED(status)) {
      if (!started) {
        ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
      }
      started = true;
      if (status >> 8 == (SIGTRAP | (PTRACE_EVENT_CLONE << 8))) ++threads;
      // The tracer's own stops are not handed on.
      const int signal = WSTOPSIG(status);
      ptrace(PTRACE_CONT, stopped, nullptr, signal == SIGTRAP || signal == SIGSTOP ? 0 : signal);
    } else if (stopped == child) {
      return started && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? threads : -1;
    }
  }
}

}  // namespace fulmen::testing
