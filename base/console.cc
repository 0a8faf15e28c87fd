#include "base/console.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <utility>

#include "base/write_all.h"

namespace fulmen {
namespace {

// A stream of <cstdio> would lose text to a signal that comes while a terminal is slow.
std::string output;
int output_error = 0;  // errno of the first write to standard output that failed

}  // namespace

void OpenConsole() {
  std::signal(SIGPIPE, SIG_IGN);
  for (int descriptor = 0; descriptor <= STDERR_FILENO; ++descriptor) {
    // open() gives the lowest free one, and each is opened the wrong way round.
    if (fcntl(descriptor, F_GETFD) < 0 && errno == EBADF) {
      (void)open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
  }
}

void SayText(std::string_view text) { (void)WriteAll(STDERR_FILENO, text); }

void PrintText(std::string_view text) {
  constexpr size_t kMost = size_t{1} << 16;
  static const bool terminal = isatty(STDOUT_FILENO) == 1;
  output += text;
  if (output.size() >= kMost || (terminal && text.ends_with('\n'))) (void)FlushOutput();
}

Status FlushOutput() {
  const int error = WriteAll(STDOUT_FILENO, std::exchange(output, ""));
  if (output_error == 0) output_error = error;
  if (output_error == 0) return {};
  return Fail(output_error == EPIPE ? ErrorCode::kClosedPipe : ErrorCode::kIo,
              "cannot write to standard output: {}", ErrnoMessage(output_error));
}

Status PrintNow(std::string_view text) {
  PrintText(text);
  return FlushOutput();
}

}  // namespace fulmen
