#include "base/write_all.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <thread>

namespace fulmen {
namespace {

// What a pipe holds after `size` bytes were written to it, more than fit: the reader waits first,
// and sends `signal` to the writer where one is named.
std::string ThroughAPipe(const std::string& text, int flags, int signal = 0) {
  std::array<int, 2> ends{};
  EXPECT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  EXPECT_EQ(fcntl(ends[1], F_SETFL, flags), 0);
  const pthread_t writer = pthread_self();
  std::string received;
  std::thread reader([&] {
    usleep(20'000);
    if (signal != 0) pthread_kill(writer, signal);
    usleep(20'000);
    std::array<char, 4096> buffer;
    for (ssize_t count = 0; (count = read(ends[0], buffer.data(), buffer.size())) > 0;) {
      received.append(buffer.data(), static_cast<size_t>(count));
    }
  });
  EXPECT_EQ(WriteAll(ends[1], text), 0);
  close(ends[1]);
  reader.join();
  close(ends[0]);
  return received;
}

std::string LongText() {
  std::string text;
  for (int i = 0; i < 50'000; ++i) text += std::to_string(i) + " ";
  return text;
}

TEST(WriteAll, GoesOnAfterASignal) {
  struct sigaction action = {};
  struct sigaction before = {};
  action.sa_handler = [](int) {};  // no SA_RESTART: the write returns early
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  EXPECT_EQ(ThroughAPipe(LongText(), 0, SIGUSR1), LongText());
  sigaction(SIGUSR1, &before, nullptr);
}

TEST(WriteAll, WaitsForRoomInANonBlockingPipe) {
  EXPECT_EQ(ThroughAPipe(LongText(), O_NONBLOCK), LongText());
}

TEST(WriteAll, TellsWhatFailed) {
  const int file = open("/dev/full", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(file, 0);
  EXPECT_EQ(WriteAll(file, "text"), ENOSPC);
  close(file);
}

}  // namespace
}  // namespace fulmen
