#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace fulmen {
namespace {

TEST(ThreadPool, RunsEveryTaskOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (const int64_t tasks : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(tasks));
      pool.ParallelFor(tasks, [&](int64_t task, int worker) {
        EXPECT_GE(worker, 0);
        EXPECT_LT(worker, threads);
        ++runs[static_cast<size_t>(task)];
      });
      for (const std::atomic<int>& count : runs) EXPECT_EQ(count, 1);
    }
  }
}

TEST(ThreadPool, ManyShortLoops) {
  ThreadPool pool(4);
  std::vector<int64_t> sums(64, 0);
  for (int loop = 0; loop < 2000; ++loop) {
    pool.ParallelFor(64, [&](int64_t task, int) { sums[static_cast<size_t>(task)] += loop; });
  }
  for (const int64_t sum : sums) EXPECT_EQ(sum, 1999 * 1000);
}

TEST(ThreadPool, WakesAfterSleeping) {
  ThreadPool pool(3);
  for (int loop = 0; loop < 5; ++loop) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // longer than workers spin
    std::atomic<int> runs{0};
    pool.ParallelFor(9, [&](int64_t, int) { ++runs; });
    EXPECT_EQ(runs, 9);
  }
}

TEST(ThreadPool, ThrowsWhatATaskThrows) {
  for (const int threads : {1, 4}) {
    ThreadPool pool(threads);
    for (int loop = 0; loop < 100; ++loop) {
      std::atomic<int> runs{0};
      const auto body = [&](int64_t task, int) {
        ++runs;
        if (task % 16 == loop % 16) throw std::bad_alloc();
      };
      EXPECT_THROW(pool.ParallelFor(1000000, body), std::bad_alloc);
      EXPECT_LT(runs, 1000000);
    }
    std::atomic<int> runs{0};
    pool.ParallelFor(64, [&](int64_t, int) { ++runs; });
    EXPECT_EQ(runs, 64);
  }
}

TEST(ThreadPool, EndsIdleAtOnce) {
  for (int i = 0; i < 100; ++i) ThreadPool pool(4);
}

}  // namespace
}  // namespace fulmen
