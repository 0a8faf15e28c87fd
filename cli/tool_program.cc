#include "cli/tool_program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>
#include <vector>

#include "base/printable.h"
#include "base/write_all.h"

namespace fulmen {
namespace {

// An open descriptor.
class Descriptor {
 public:
  explicit Descriptor(int file) : file_(file) {}
  ~Descriptor() { Close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return file_; }
  void Close() {
    if (file_ >= 0) close(std::exchange(file_, -1));
  }

 private:
  int file_;
};

tl::unexpected<Error> Stopped() { return Fail(ErrorCode::kCancelled, "stopped"); }

Result<pid_t> Start(const std::string& program, const std::string& name, int in, int out) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  sigaddset(&defaults, SIGXFSZ);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  std::array<std::string, 2> words = {program, name};
  std::array<char*, 3> arguments = {words[0].data(), words[1].data(), nullptr};
  pid_t pid = -1;
  const int error =
      posix_spawnp(&pid, program.c_str(), &actions, &attributes, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    return Fail(ErrorCode::kIo, "--tool-program {}: cannot be started: {}", program,
                ErrnoMessage(error));
  }
  return pid;
}

}  // namespace

Result<bool> ToolProgram::Allowed(const ReplyCall& call) const {
  if (!ask_) return true;
  const Descriptor terminal(open("/dev/tty", O_RDWR | O_CLOEXEC));
  if (terminal.get() < 0) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "the model wants {} to be run, and there is no terminal to ask at: --yes runs tools "
        "without asking",
        Printable(call.name, 80));
  }
  WriteAll(terminal.get(), fmt::format("Run {} {} {}? [y/N] ", program_, Printable(call.name, 200),
                                       Printable(call.arguments, 2000)));
  std::string answer;
  char c = 0;
  while (c != '\n') {
    const ssize_t size = read(terminal.get(), &c, 1);
    if (interrupt_.flag()) return Stopped();
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    if (c != '\n') answer += c;
  }
  return answer == "y" || answer == "Y" || answer == "yes";
}

Result<std::string> ToolProgram::Run(const ReplyCall& call) const {
  if (call.name.find('\0') != std::string::npos) return "There is no such tool.";
  FULMEN_ASSIGN(const bool allowed, Allowed(call));
  if (!allowed) return "The user did not allow this call.";
  const Descriptor in(memfd_create("arguments", MFD_CLOEXEC));
  std::array<int, 2> ends = {-1, -1};
  if (in.get() < 0 || WriteAll(in.get(), call.arguments) != 0 ||
      lseek(in.get(), 0, SEEK_SET) != 0 || pipe2(ends.data(), O_CLOEXEC) != 0) {
    return Fail(ErrorCode::kIo, "--tool-program {}: {}", program_, ErrnoMessage(errno));
  }
  const Descriptor out(ends[0]);
  Descriptor child_out(ends[1]);
  FULMEN_ASSIGN(const pid_t pid, Start(program_, call.name, in.get(), child_out.get()));
  child_out.Close();
  std::string result;
  std::vector<char> buffer(size_t{1} << 16);
  bool ended = false;
  while (!ended && !interrupt_.flag() && result.size() <= kMostBytes) {
    const ssize_t size = read(out.get(), buffer.data(), buffer.size());
    ended = size == 0 || (size < 0 && errno != EINTR);
    if (size > 0) result.append(buffer.data(), static_cast<size_t>(size));
  }
  if (!ended) kill(pid, SIGTERM);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (interrupt_.flag()) return Stopped();
  if (result.size() > kMostBytes) {
    return Fail(ErrorCode::kNoRoom,
                "--tool-program {} {}: a result of at most {} bytes is expected", program_,
                Printable(call.name, 80), kMostBytes);
  }
  if (status == 0) return result;
  return fmt::format("The tool failed with {} {}.\n{}", WIFSIGNALED(status) ? "signal" : "status",
                     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), result);
}

}  // namespace fulmen
