#include "tests/testing/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>

#include "base/check.h"
#include "base/status.h"

namespace fulmen::testing {
namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    FULMEN_CHECK(pipe2(ends.data(), O_CLOEXEC) == 0, "{}", ErrnoMessage(errno));
    read_end = ends[0];
    write_end = ends[1];
  }
  ~Pipe() {
    Close(read_end);
    Close(write_end);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  static void Close(int& end) {
    if (end >= 0) close(end);
    end = -1;
  }

  int read_end = -1;
  int write_end = -1;
};

// The peak of a new program's memory begins with that of the process that starts it, whose past
// peaks, at least, can be forgotten (proc(5), clear_refs).
void ForgetPeakMemory() {
  const int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  FULMEN_CHECK(file >= 0 && write(file, "5", 1) == 1, "{}", ErrnoMessage(errno));
  close(file);
}

// A running program and our ends of its three pipes.
class Program {
 public:
  Program(const std::vector<std::string>& command, const ProgramOptions& options)
      : options_(options) {
    // A program that does not read its input must not end the test.
    std::signal(SIGPIPE, SIG_IGN);
    Start(command);
    Pipe::Close(in_.read_end);
    Pipe::Close(out_.write_end);
    Pipe::Close(err_.write_end);
    FULMEN_CHECK(fcntl(in_.write_end, F_SETFL, O_NONBLOCK) == 0, "{}", ErrnoMessage(errno));
  }

  ProgramResult Finish() {
    const Clock::time_point deadline = Clock::now() + options_.timeout;
    while (out_.read_end >= 0 || err_.read_end >= 0) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
      if (left.count() <= 0) {
        result_.timed_out = true;
        break;
      }
      Step(static_cast<int>(left.count()));
    }
    Reap(deadline);
    return result_;
  }

 private:
  void Start(const std::vector<std::string>& command) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in_.read_end, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, options_.out.value_or(out_.write_end),
                                     STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, options_.err.value_or(err_.write_end),
                                     STDERR_FILENO);
    if (!options_.folder.empty()) {
      posix_spawn_file_actions_addchdir_np(&actions, options_.folder.c_str());
    }
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t defaults;
    sigemptyset(&defaults);
    // Whoever runs the tests may have had these ignored, as nohup does.
    for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP}) sigaddset(&defaults, signal);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);

    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    ForgetPeakMemory();
    const int error =
        posix_spawnp(&pid_, arguments[0], &actions, &attributes, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    FULMEN_CHECK(error == 0, "cannot start {}: {}", command[0], ErrnoMessage(error));
  }

  // Waits for any pipe and moves what can be moved.
  void Step(int timeout_ms) {
    if (written_ == options_.input.size() && interrupts_ == options_.interrupt_after.size()) {
      Pipe::Close(in_.write_end);
    }
    const int writing = written_ < options_.input.size() ? in_.write_end : -1;
    std::array<pollfd, 3> waiting{
        {{writing, POLLOUT, 0}, {out_.read_end, POLLIN, 0}, {err_.read_end, POLLIN, 0}}};
    if (poll(waiting.data(), waiting.size(), timeout_ms) < 0) {
      FULMEN_CHECK(errno == EINTR, "{}", ErrnoMessage(errno));
      return;
    }
    if (waiting[0].revents != 0) Write();
    if (waiting[1].revents != 0) Read(out_.read_end, result_.out);
    if (waiting[2].revents != 0) Read(err_.read_end, result_.err);
    Interrupt();
  }

  void Write() {
    const std::string_view rest = std::string_view(options_.input).substr(written_);
    const ssize_t count = write(in_.write_end, rest.data(), rest.size());
    if (count >= 0) {
      written_ += static_cast<size_t>(count);
    } else if (errno == EPIPE) {  // it reads no more
      written_ = options_.input.size();
    } else {
      FULMEN_CHECK(errno == EAGAIN || errno == EINTR, "{}", ErrnoMessage(errno));
    }
  }

  static void Read(int& file, std::string& text) {
    std::array<char, 65536> buffer;
    const ssize_t count = read(file, buffer.data(), buffer.size());
    if (count > 0) text.append(buffer.data(), static_cast<size_t>(count));
    if (count == 0) Pipe::Close(file);
    if (count < 0) FULMEN_CHECK(errno == EINTR, "{}", ErrnoMessage(errno));
  }

  void Interrupt() {
    if (interrupts_ == options_.interrupt_after.size()) return;
    const std::string& marker = options_.interrupt_after[interrupts_];
    if (!Pass(marker, result_.out, searched_out_) && !Pass(marker, result_.err, searched_err_)) {
      return;
    }
    ++interrupts_;
    kill(pid_, options_.interrupt_with);
  }

  // Whether `text` has the marker behind the first `searched` bytes, which then go beyond it.
  static bool Pass(const std::string& marker, const std::string& text, size_t& searched) {
    const size_t found = text.find(marker, searched);
    if (found == std::string::npos) return false;
    searched = found + marker.size();
    return true;
  }

  // The pipes may close before the program ends, and outlive it in a process it started.
  void Reap(Clock::time_point deadline) {
    int status = 0;
    rusage used{};
    pid_t ended = wait4(pid_, &status, WNOHANG, &used);
    while (ended == 0 && Clock::now() < deadline) {
      poll(nullptr, 0, 1);
      ended = wait4(pid_, &status, WNOHANG, &used);
    }
    result_.peak_bytes = int64_t{1024} * used.ru_maxrss;
    kill(-pid_, SIGKILL);
    if (ended == 0) {
      result_.timed_out = true;
      ended = waitpid(pid_, &status, 0);
    }
    FULMEN_CHECK(ended == pid_, "{}", ErrnoMessage(errno));
    if (WIFEXITED(status)) result_.exit_code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) result_.signal = WTERMSIG(status);
  }

  const ProgramOptions& options_;
  Pipe in_;
  Pipe out_;
  Pipe err_;
  pid_t pid_ = -1;
  size_t written_ = 0;       // bytes of the input
  size_t interrupts_ = 0;    // how many were sent
  size_t searched_out_ = 0;  // how far the outputs were searched for the next marker
  size_t searched_err_ = 0;
  ProgramResult result_;
};

}  // namespace

ProgramResult RunProgram(const std::vector<std::string>& command, const ProgramOptions& options) {
  FULMEN_CHECK(!command.empty(), "no program named");
  return Program(command, options).Finish();
}

ProgramResult RunRanks(int ranks, std::vector<std::string> command, const ProgramOptions& options) {
  const std::vector<std::string> mpirun = {
      "env",
      "OMPI_ALLOW_RUN_AS_ROOT=1",
      "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
      "OMPI_MCA_rmaps_base_oversubscribe=1",
      "OMPI_MCA_hwloc_base_binding_policy=none",
      "OMPI_MCA_btl_vader_single_copy_mechanism=none",  // containers may forbid it
      "OMPI_MCA_odls_base_sigkill_timeout=0",           // seconds the ranks of a failed run get
      "mpirun",
      "-np",
      std::to_string(ranks)};
  command.insert(command.begin(), mpirun.begin(), mpirun.end());
  return RunProgram(command, options);
}

std::string FulmenBinary() { return FULMEN_BINARY; }

ProgramResult RunFulmen(std::vector<std::string> arguments, const ProgramOptions& options) {
  arguments.insert(arguments.begin(), FulmenBinary());
  return RunProgram(arguments, options);
}

}  // namespace fulmen::testing
