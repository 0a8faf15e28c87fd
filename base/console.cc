#include "base/console.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>

namespace fulmen {
namespace {

// errno of the first write to standard output that failed.
std::atomic<int> output_error{0};

void RecordOutputError() {
  int none = 0;
  output_error.compare_exchange_strong(none, errno);
}

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

void SayText(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = write(STDERR_FILENO, text.data(), text.size());
    if (count > 0) {
      text.remove_prefix(static_cast<size_t>(count));
    } else if (errno != EINTR) {
      return;
    }
  }
}

void PrintText(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) RecordOutputError();
}

Status FlushOutput() {
  if (std::fflush(stdout) != 0) RecordOutputError();
  const int error = output_error;
  if (error == 0) return {};
  return Fail(error == EPIPE ? ErrorCode::kClosedPipe : ErrorCode::kIo,
              "cannot write to standard output: {}", ErrnoMessage(error));
}

}  // namespace fulmen
