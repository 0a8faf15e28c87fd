// Ranks that are threads of one process, for tests of what is written over Communicator.
#pragma once

#include <algorithm>
#include <barrier>
#include <functional>
#include <thread>
#include <vector>

#include "parallel/communicator.h"

namespace fulmen::testing {

// What the ranks see of each other: where each one's values lie, and a place to meet.
struct ThreadRanksMeeting {
  explicit ThreadRanksMeeting(int ranks) : values(static_cast<size_t>(ranks)), barrier(ranks) {}
  std::vector<const void*> values;
  std::barrier<> barrier;
};

class ThreadRank final : public Communicator {
 public:
  ThreadRank(ThreadRanksMeeting& meeting, int rank) : meeting_(meeting), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(meeting_.values.size()); }
  Status AllReduceSum(std::span<double> values) override { return Reduce(values); }
  Status StartAllReduceSum(std::span<float> values) override { return Reduce(values); }
  Status FinishAllReduces() override { return {}; }
  Status AllGather(std::span<const int64_t> mine, std::span<int64_t> all) override {
    Exchange(mine.data(), [&](size_t rank, const int64_t* values) {
      std::copy_n(values, mine.size(), all.begin() + static_cast<int64_t>(rank * mine.size()));
    });
    return {};
  }
  Status Broadcast(std::span<float> values) override {
    const std::vector<float> mine(values.begin(), values.end());
    Exchange(mine.data(), [&](size_t rank, const float* theirs) {
      if (rank == 0) std::copy_n(theirs, values.size(), values.begin());
    });
    return {};
  }
  Status Barrier() override {
    meeting_.barrier.arrive_and_wait();
    return {};
  }

 private:
  // Calls visit(rank, its values) for every rank in turn, while all of them hold still.
  template <class T, class Visit>
  void Exchange(const T* mine, const Visit& visit) {
    meeting_.values[static_cast<size_t>(rank_)] = mine;
    meeting_.barrier.arrive_and_wait();
    for (size_t rank = 0; rank < meeting_.values.size(); ++rank) {
      visit(rank, static_cast<const T*>(meeting_.values[rank]));
    }
    meeting_.barrier.arrive_and_wait();
  }

  template <class T>
  Status Reduce(std::span<T> values) {
    const std::vector<T> mine(values.begin(), values.end());
    std::ranges::fill(values, T{0});
    Exchange(mine.data(), [&](size_t, const T* theirs) {
      for (size_t i = 0; i < values.size(); ++i) values[i] += theirs[i];
    });
    return {};
  }

  ThreadRanksMeeting& meeting_;
  int rank_;
};

// Runs body(rank) on that many ranks at once; all must make the same collective calls.
inline void RunThreadRanks(int ranks, const std::function<void(Communicator&)>& body) {
  ThreadRanksMeeting meeting(ranks);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      ThreadRank communicator(meeting, rank);
      body(communicator);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace fulmen::testing
