#ifdef FULMEN_MPI
#include "parallel/mpi_communicator.h"

#include <mpi.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <new>
#include <queue>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"

namespace fulmen {
namespace {

// Elements worked on at once: bounds the memory besides the values, and keeps MPI's counts, which
// are ints, small.
constexpr size_t kChunk = size_t{1} << 18;

MPI_Datatype TypeOf(float) { return MPI_FLOAT; }
MPI_Datatype TypeOf(double) { return MPI_DOUBLE; }

// MPI moves data in the background only while somebody calls it, so one thread makes every call, in
// the order asked for: that is what lets an all-reduce run beside the caller's computation. It
// polls, because waiting inside MPI would burn a processor that the computation needs.
class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator() : thread_([this] { Serve(); }) {}
  ~MpiCommunicator() override {
    if (barrier_was_last_) {
      Post([] { return Succeeded(MPI_Finalize()); });
      (void)Finish();
    }
    abandoned_ = true;
    Post(nullptr);
    thread_.join();
  }
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;

  Status Start() {
    return Run([this]() -> Status {
      int level = 0;
      FULMEN_TRY(Succeeded(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level)));
      if (level < MPI_THREAD_FUNNELED) {
        return Fail(ErrorCode::kUnsupported, "this MPI was built for programs of one thread only");
      }
      FULMEN_TRY(Succeeded(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN)));
      FULMEN_TRY(Succeeded(MPI_Comm_rank(MPI_COMM_WORLD, &rank_)));
      return Succeeded(MPI_Comm_size(MPI_COMM_WORLD, &size_));
    });
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  Status AllReduceSum(std::span<double> values) override {
    return Run([this, values] { return Reduce(values); });
  }

  Status StartAllReduceSum(std::span<float> values) override {
    barrier_was_last_ = false;
    Post([this, values] { return Reduce(values); });
    return {};
  }

  Status FinishAllReduces() override { return Finish(); }

  Status AllGather(std::span<const int64_t> mine, std::span<int64_t> all) override {
    FULMEN_CHECK(all.size() == mine.size() * static_cast<size_t>(size_) && mine.size() <= kChunk,
                 "{} values of each of {} ranks into {}", mine.size(), size_, all.size());
    return Run([this, mine, all] {
      const int count = static_cast<int>(mine.size());
      return Complete([&](MPI_Request* request) {
        return MPI_Iallgather(mine.data(), count, MPI_INT64_T, all.data(), count, MPI_INT64_T,
                              MPI_COMM_WORLD, request);
      });
    });
  }

  Status Broadcast(std::span<float> values) override {
    return Run([this, values]() -> Status {
      for (size_t first = 0; first < values.size(); first += kChunk) {
        const auto chunk = values.subspan(first, std::min(kChunk, values.size() - first));
        FULMEN_TRY(Complete([&](MPI_Request* request) {
          return MPI_Ibcast(chunk.data(), static_cast<int>(chunk.size()), MPI_FLOAT, 0,
                            MPI_COMM_WORLD, request);
        }));
      }
      return {};
    });
  }

  Status Barrier() override {
    FULMEN_TRY(Run([this] {
      return Complete([](MPI_Request* request) { return MPI_Ibarrier(MPI_COMM_WORLD, request); });
    }));
    barrier_was_last_ = true;
    return {};
  }

 private:
  using Operation = std::function<Status()>;

  // On the caller's thread.
  void Post(Operation operation) {
    {
      const std::lock_guard lock(mutex_);
      operations_.push(std::move(operation));
    }
    changed_.notify_all();
  }
  Status Finish() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return operations_.empty(); });
    return status_;
  }
  Status Run(Operation operation) {
    barrier_was_last_ = false;
    Post(std::move(operation));
    return Finish();
  }

  // On thread_. An operation leaves the queue when it is done; after an error the others are
  // dropped, and an empty one ends the thread.
  void Serve() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return !operations_.empty(); });
      const Operation& operation = operations_.front();
      if (!operation) return;
      if (status_) {
        lock.unlock();
        Status status = Attempt(operation);
        lock.lock();
        status_ = std::move(status);
      }
      operations_.pop();
      changed_.notify_all();
    }
  }

  // An exception would end the program from this thread.
  static Status Attempt(const Operation& operation) {
    try {
      return operation();
    } catch (const std::bad_alloc&) {
      return Fail(ErrorCode::kIo, "out of memory");
    }
  }

  static Status Succeeded(int code) {
    if (code == MPI_SUCCESS) return {};
    std::array<char, MPI_MAX_ERROR_STRING> text{};
    int length = 0;
    MPI_Error_string(code, text.data(), &length);
    return Fail(ErrorCode::kUnavailable, "the other ranks cannot be reached: {}", text.data());
  }

  // Starts a non-blocking operation and sees it done. An answer usually comes within microseconds
  // or after milliseconds.
  template <class StartFn>
  Status Complete(const StartFn& start) {
    MPI_Request request = MPI_REQUEST_NULL;
    FULMEN_TRY(Succeeded(start(&request)));
    for (int tries = 0;; ++tries) {
      int done = 0;
      FULMEN_TRY(Succeeded(MPI_Test(&request, &done, MPI_STATUS_IGNORE)));
      if (done != 0) return {};
      if (abandoned_) return Fail(ErrorCode::kCancelled, "this rank stopped before the others");
      if (tries < kEagerTries) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(kNap);
      }
    }
  }

  // Every rank sums a part of each chunk, in the order of the ranks, and sends the sums to all. MPI
  // only moves data here: the order of its own sums may change with the ranks' arrival.
  template <class T>
  Status Reduce(std::span<T> values) {
    const auto ranks = static_cast<size_t>(size_);
    std::vector<int> counts(ranks);
    std::vector<int> offsets(ranks);
    std::vector<int> my_counts(ranks);
    std::vector<int> my_offsets(ranks);
    std::vector<T> parts(std::min(kChunk, values.size()) + ranks);
    for (size_t first = 0; first < values.size(); first += kChunk) {
      const auto chunk = values.subspan(first, std::min(kChunk, values.size() - first));
      for (size_t r = 0; r < ranks; ++r) {
        offsets[r] = static_cast<int>(chunk.size() * r / ranks);
        counts[r] = static_cast<int>(chunk.size() * (r + 1) / ranks) - offsets[r];
      }
      const auto me = static_cast<size_t>(rank_);
      const auto mine = static_cast<size_t>(counts[me]);
      for (size_t r = 0; r < ranks; ++r) {
        my_counts[r] = counts[me];
        my_offsets[r] = static_cast<int>(r * mine);
      }
      FULMEN_TRY(Complete([&](MPI_Request* request) {
        return MPI_Ialltoallv(chunk.data(), counts.data(), offsets.data(), TypeOf(T{}),
                              parts.data(), my_counts.data(), my_offsets.data(), TypeOf(T{}),
                              MPI_COMM_WORLD, request);
      }));
      for (size_t r = 1; r < ranks; ++r) {
        for (size_t i = 0; i < mine; ++i) parts[i] += parts[r * mine + i];
      }
      std::copy_n(parts.begin(), mine, chunk.begin() + offsets[me]);
      FULMEN_TRY(Complete([&](MPI_Request* request) {
        return MPI_Iallgatherv(MPI_IN_PLACE, 0, TypeOf(T{}), chunk.data(), counts.data(),
                               offsets.data(), TypeOf(T{}), MPI_COMM_WORLD, request);
      }));
    }
    return {};
  }

  static constexpr int kEagerTries = 200;
  static constexpr std::chrono::microseconds kNap{20};

  int rank_ = 0;
  int size_ = 1;
  bool barrier_was_last_ = false;
  std::atomic<bool> abandoned_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;  // operations_ grew or shrank
  std::queue<Operation> operations_;
  Status status_;  // the first error
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<Communicator>> OpenMpi() {
  std::unique_ptr<MpiCommunicator> communicator;
  try {
    communicator = std::make_unique<MpiCommunicator>();
  } catch (const std::system_error& error) {
    return Fail(ErrorCode::kIo, "cannot start a thread: {}", error.code().message());
  }
  FULMEN_TRY(communicator->Start());
  return communicator;
}

}  // namespace fulmen
#endif  // FULMEN_MPI
