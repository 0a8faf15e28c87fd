#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <new>
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

#if !defined(__SANITIZE_THREAD__)  // which delivers signals when it likes

std::atomic<bool> held{false};
std::atomic<bool> release_worker{false};

// Keeps a thread from running, as a busy machine would, but for as long as the test likes.
void HoldThread(int) {
  held = true;
  while (!release_worker) usleep(1000);
}

TEST(ThreadPool, WaitsForNoWorkerThatDoesNotRun) {
  ThreadPool pool(2);
  std::atomic<pid_t> thread{0};
  std::atomic<int> met{0};
  pool.ParallelFor(2, [&](int64_t, int worker) {
    if (worker == 1) thread = gettid();
    ++met;
    while (met < 2) std::this_thread::yield();  // so each thread takes one task
  });
  std::signal(SIGUSR1, HoldThread);
  ASSERT_EQ(tgkill(getpid(), thread, SIGUSR1), 0);
  while (!held) std::this_thread::yield();

  std::atomic<bool> too_late{false};
  std::atomic<bool> done{false};
  std::thread rescue([&] {
    for (int i = 0; i < 2000 && !done; ++i) usleep(10000);
    too_late = !done;
    release_worker = true;
  });
  std::atomic<int> runs{0};
  pool.ParallelFor(9, [&](int64_t, int worker) { runs += worker == 0 ? 1 : 0; });
  done = true;
  rescue.join();
  EXPECT_EQ(runs, 9);
  EXPECT_FALSE(too_late);
  std::signal(SIGUSR1, SIG_DFL);
}

#endif

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

TEST(ThreadPool, EveryPartHasANode) {
  const ThreadPool two(4, Topology::Invented("numa:2 pu:2"));
  for (int64_t part = 0; part < 10; ++part) EXPECT_EQ(two.NodeOf(part, 10), part < 5 ? 0 : 1);
  // Threads are shared out as 2 and 1, so rows are, too.
  const ThreadPool uneven(3, Topology::Invented("numa:2 pu:4"));
  EXPECT_EQ(uneven.NodeOf(199, 300), 0);
  EXPECT_EQ(uneven.NodeOf(200, 300), 1);
  EXPECT_EQ(ThreadPool(3, Topology::Invented("numa:1 pu:4")).NodeOf(299, 300), 0);
}

TEST(ThreadPool, NodesTakeTheirOwnTasksFirst) {
  constexpr int kThreads = 6;
  ThreadPool pool(kThreads, Topology::Invented("numa:3 pu:2"));
  for (int loop = 0; loop < 50; ++loop) {
    std::atomic<int> met{0};
    const auto node_of = [](int64_t task) { return static_cast<int>(task % 3); };
    pool.ParallelFor(kThreads, node_of, [&](int64_t task, int worker) {
      EXPECT_EQ(node_of(task), worker / 2);
      ++met;
      while (met < kThreads) std::this_thread::yield();  // so each thread takes one task
    });
  }
}

TEST(ThreadPool, NodesHelpEachOther) {
  ThreadPool pool(4, Topology::Invented("numa:2 pu:2"));
  for (const int64_t tasks : {1, 2, 7, 1000}) {
    std::vector<std::atomic<int>> runs(static_cast<size_t>(tasks));
    const auto one_node = [](int64_t) { return 1; };
    const auto run = [&](int64_t task, int) { ++runs[static_cast<size_t>(task)]; };
    pool.ParallelFor(tasks, one_node, run);
    pool.ParallelFor(tasks, run);
    for (const std::atomic<int>& count : runs) EXPECT_EQ(count, 2);
  }
}

}  // namespace
}  // namespace fulmen
