#include "kernels/peak.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "kernels/cpu/peak_loops.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fulmen {
namespace {

// Best rate of `rounds` of `loop` on every thread at once; the number of iterations grows until a
// round takes long enough to drown the start of the threads.
double BestRate(ThreadPool& pool, const cpu::CountedLoop& counted) {
  constexpr int kRounds = 12;
  constexpr double kRoundSeconds = 0.02;
  std::vector<float> sink(static_cast<size_t>(pool.size()));
  const auto run = [&](int64_t iterations) {
    const auto start = Clock::now();
    pool.ParallelFor(pool.size(), [&](int64_t task, int) {
      sink[static_cast<size_t>(task)] = counted.loop(iterations);
    });
    return SecondsSince(start);
  };
  int64_t iterations = 1 << 12;
  while (run(iterations) < kRoundSeconds) iterations *= 2;
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    const double operations = counted.operations * static_cast<double>(iterations) * pool.size();
    best = std::max(best, operations / run(iterations));
  }
  return best;
}

// Pages of the largest size on offer: fewer address translations, so closer to the memory's limit.
class Buffer {
 public:
  explicit Buffer(size_t bytes) : data_(static_cast<std::byte*>(std::aligned_alloc(kHuge, bytes))) {
    FULMEN_CHECK(data_ != nullptr, "{} bytes for measuring memory", bytes);
#if defined(__linux__)
    madvise(data_.get(), bytes, MADV_HUGEPAGE);
#endif
  }
  std::byte* data() const { return data_.get(); }

 private:
  static constexpr size_t kHuge = size_t{2} << 20;
  struct Free {
    void operator()(std::byte* data) const { std::free(data); }
  };
  std::unique_ptr<std::byte, Free> data_;
};

}  // namespace

double MeasureReadBandwidth(ThreadPool& pool) {
  constexpr int64_t kBytes = int64_t{512} << 20;
  constexpr int64_t kPiece = int64_t{1} << 20;
  constexpr int kRounds = 8;
  const Buffer buffer(kBytes);
  const auto node_of = [&](int64_t piece) { return pool.NodeOf(piece, kBytes / kPiece); };
  pool.ParallelFor(kBytes / kPiece, node_of, [&](int64_t piece, int) {
    const Topology::MemoryOn memory(pool.topology(), node_of(piece));
    std::memset(buffer.data() + piece * kPiece, 1, kPiece);
  });
  const cpu::ReadLoop read = cpu::ChosenLoops().read;
  std::vector<float> sink(static_cast<size_t>(kBytes / kPiece));
  double best = 0;
  for (int round = 0; round < kRounds; ++round) {
    const auto start = Clock::now();
    pool.ParallelFor(kBytes / kPiece, node_of, [&](int64_t piece, int) {
      sink[static_cast<size_t>(piece)] = read(buffer.data() + piece * kPiece, kPiece);
    });
    best = std::max(best, static_cast<double>(kBytes) / SecondsSince(start));
  }
  return best;
}

double MeasureFmaFlops(ThreadPool& pool) { return BestRate(pool, cpu::ChosenLoops().fma); }

bool HasInt8Dot() { return cpu::ChosenLoops().int8.has_value(); }

double MeasureInt8Ops(ThreadPool& pool) { return BestRate(pool, cpu::ChosenLoops().int8->counted); }

bool MultipliesBf16Weights() { return cpu::ChosenLoops().bf16_weights; }

double MeasureBf16Parts(ThreadPool& pool) {
  return BestRate(pool, cpu::ChosenLoops().bf16->counted) / 3;
}

Peaks MeasurePeaks(ThreadPool& pool) {
  const cpu::PeakLoops loops = cpu::ChosenLoops();
  Peaks peaks;
  peaks.fma_flops = BestRate(pool, loops.fma);
  const auto dot = [&](const std::optional<cpu::DotLoop>& loop) -> std::optional<DotPeak> {
    if (!loop) return {};
    return DotPeak{BestRate(pool, loop->counted), loop->instructions};
  };
  peaks.int8_dot = dot(loops.int8);
  peaks.bf16_dot = dot(loops.bf16);
  peaks.read_bandwidth = MeasureReadBandwidth(pool);
  return peaks;
}

}  // namespace fulmen
