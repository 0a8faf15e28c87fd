#include "cli/signal_pipe.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace fulmen {
namespace {

// A signal handler has no argument of ours, so these are global: the ends that Wait reads and the
// handler writes.
int read_end = -1;
int write_end = -1;

void OnSignal(int signal) {
  const int before = errno;
  const auto byte = static_cast<unsigned char>(signal);
  (void)!write(write_end, &byte, 1);  // a full pipe wakes as well
  errno = before;
}

}  // namespace

SignalPipe::SignalPipe(const std::vector<int>& signals) {
  FULMEN_CHECK(read_end < 0, "a second SignalPipe");
  std::array<int, 2> ends{};
  FULMEN_CHECK(pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0, "{}", ErrnoMessage(errno));
  read_end = ends[0];
  write_end = ends[1];
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;  // poll() returns all the same; a prompt being drawn is not lost
  sigemptyset(&action.sa_mask);
  for (const int signal : signals) {
    struct sigaction before = {};
    sigaction(signal, nullptr, &before);
    if (before.sa_handler == SIG_IGN) continue;
    sigaction(signal, &action, nullptr);
    previous_.emplace(signal, before);
  }
}

SignalPipe::~SignalPipe() {
  for (const auto& [signal, before] : previous_) sigaction(signal, &before, nullptr);
  while (const int signal = Next()) raise(signal);
  close(std::exchange(write_end, -1));
  close(std::exchange(read_end, -1));
}

int SignalPipe::Wait(int file) {
  while (true) {
    std::array<pollfd, 2> waiting{{{file, POLLIN, 0}, {read_end, POLLIN, 0}}};
    const int ready = poll(waiting.data(), waiting.size(), -1);
    // A signal that came before the end of the file may be handled only now that poll returns.
    if (const int signal = Next()) return signal;
    if (ready > 0 && waiting[0].revents != 0) return 0;
  }
}

void SignalPipe::PassOn(int signal) {
  sigaction(signal, &previous_.at(signal), nullptr);
  raise(signal);
}

int SignalPipe::Next() {
  unsigned char signal = 0;
  return read(read_end, &signal, 1) == 1 ? signal : 0;
}

}  // namespace fulmen
