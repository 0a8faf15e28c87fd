// The products of the model on this machine, each with its share of what the machine can do: of the
// peak of the instruction they use (float32 multiply-add, or 8-bit products where weights are
// quantized) where there are many rows, of read bandwidth where there are few.
//
//   kernels_bench [--benchmark_filter=REGEX] [--benchmark_repetitions=N]
//
// FULMEN_CPU_TARGET chooses the instruction set, FULMEN_BENCH_THREADS the number of threads;
// FULMEN_BENCH_AS_STORED leaves quantized weights as files hold them.
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/clock.h"
#include "base/matrix.h"
#include "base/memory.h"
#include "bench/run_benchmarks.h"
#include "kernels/kernels.h"
#include "kernels/peak.h"

namespace fulmen {
namespace {

struct Machine {
  ThreadPool pool;
  Workspace scratch;
  KernelContext context{pool, scratch};
  const Kernels* kernels = nullptr;
  Peaks peaks;

  explicit Machine(int threads) : pool(threads) {}
};

// Arbitrary values of moderate size, made quickly: speed does not depend on them.
class Weight {
 public:
  Weight(Machine& machine, int64_t rows, int64_t cols, DType type)
      : bytes_(BytesOf(type, rows * cols)) {
    uint32_t state = 1;
    for (size_t i = 0; i < bytes_.size(); i += 2) {
      state = state * 1664525U + 1013904223U;
      // The upper half of a float32, or a BF16, or an F16: all of magnitude about one.
      const auto bits = static_cast<uint16_t>(0x3c00U | (state >> 16 & 0x83ffU));
      std::memcpy(&bytes_[i], &bits, 2);
    }
    view_ = {bytes_.data(), type, rows, cols};
    const size_t repacked = machine.kernels->repacked_bytes(machine.context, view_);
    if (repacked == 0 || std::getenv("FULMEN_BENCH_AS_STORED") != nullptr) return;
    Bytes memory(repacked);
    view_ = machine.kernels->repack(machine.context, view_, memory.data());
    bytes_.swap(memory);
  }
  const WeightMatrix& view() const { return view_; }

 private:
  using Bytes = std::vector<std::byte, AlignedAllocator<std::byte>>;

  Bytes bytes_;
  WeightMatrix view_;
};

// What was reached, and its share of the peak that limits it.
class Rates {
 public:
  void Report(benchmark::State& state, const Machine& machine, DType type, double flops,
              double bytes, bool memory_bound) const {
    const double peak = IsQuantized(type) && machine.peaks.int8_dot ? machine.peaks.int8_dot->ops
                                                                    : machine.peaks.fma_flops;
    const double rate = static_cast<double>(state.iterations()) / SecondsSince(start_);
    state.counters["GFLOP/s"] = rate * flops / 1e9;
    state.counters["GB/s"] = rate * bytes / 1e9;
    state.counters["share%"] =
        100 * rate * (memory_bound ? bytes / machine.peaks.read_bandwidth : flops / peak);
  }

 private:
  Clock::time_point start_ = Clock::now();
};

// Aligned and on large pages, as the memory that operations work in.
using AlignedFloats = std::vector<float, AlignedAllocator<float>>;

struct LinearShape {
  int64_t tokens, in, out;
  DType type;
};

void BenchLinear(benchmark::State& state, Machine& machine, const LinearShape& s) {
  const Weight weight(machine, s.out, s.in, s.type);
  AlignedFloats x(static_cast<size_t>(s.tokens * s.in), 0.5F);
  AlignedFloats y(static_cast<size_t>(s.tokens * s.out));
  const Rates rates;
  for (auto _ : state) {
    machine.kernels->linear(machine.context, {x.data(), s.tokens, s.in},
                            {{weight.view(), {y.data(), s.tokens, s.out}}});
  }
  rates.Report(state, machine, s.type, 2.0 * static_cast<double>(s.tokens * s.in * s.out),
               static_cast<double>(weight.view().bytes()), s.tokens <= 4);
}

struct MoeShape {
  int64_t tokens, width, ffn, experts, chosen;
  DType type;
};

void BenchMoe(benchmark::State& state, Machine& machine, const MoeShape& s) {
  std::vector<Weight> weights;
  for (int64_t e = 0; e < s.experts; ++e) {
    weights.emplace_back(machine, s.ffn, s.width, s.type);
    weights.emplace_back(machine, s.ffn, s.width, s.type);
    weights.emplace_back(machine, s.width, s.ffn, s.type);
  }
  std::vector<ExpertWeights> experts;
  for (size_t e = 0; e < weights.size(); e += 3) {
    experts.push_back({weights[e].view(), weights[e + 1].view(), weights[e + 2].view()});
  }
  AlignedFloats x(static_cast<size_t>(s.tokens * s.width), 0.001F);
  AlignedFloats out(x.size());
  AlignedFloats mix(static_cast<size_t>(s.tokens * s.chosen), 0.5F);
  std::vector<int32_t> choice(mix.size());
  for (size_t i = 0; i < choice.size(); ++i) {
    choice[i] = static_cast<int32_t>((i * 7 + i / 5) % static_cast<size_t>(s.experts));
  }
  const Rates rates;
  for (auto _ : state) {
    machine.kernels->moe(machine.context, {x.data(), s.tokens, s.width}, experts,
                         MatrixView<const int32_t>(choice.data(), s.tokens, s.chosen),
                         {mix.data(), s.tokens, s.chosen}, {}, {out.data(), s.tokens, s.width});
  }
  const int64_t read = std::min(s.experts, s.tokens * s.chosen);
  rates.Report(state, machine, s.type,
               6.0 * static_cast<double>(s.tokens * s.chosen * s.width * s.ffn),
               static_cast<double>(3 * read) * static_cast<double>(weights[0].view().bytes()),
               s.tokens == 1);
}

void RegisterAll(Machine& machine) {
  constexpr DType kTypes[] = {DType::kF32, DType::kBF16};
  constexpr DType kQuantized[] = {DType::kQ4_K, DType::kQ6_K, DType::kQ8_0};
  constexpr int64_t kPrefill[][2] = {
      {1024, 3072}, {1024, 1024}, {1024, 1536}, {1536, 1024}, {6144, 9216}};
  std::vector<LinearShape> shapes;
  for (const auto& [in, out] : kPrefill) {
    for (const DType type : kTypes) shapes.push_back({512, in, out, type});
  }
  for (const int64_t tokens : {1, 2, 4, 8, 16, 32, 64, 128}) {
    shapes.push_back({tokens, 6144, 24576, DType::kBF16});
  }
  shapes.push_back({1, 6144, 24576, DType::kF16});
  for (const DType type : kQuantized) {
    for (const int64_t tokens : {1, 2, 4, 16, 64, 512}) {
      shapes.push_back({tokens, 6144, 24576, type});
    }
    for (const int64_t tokens : {1, 2, 4, 16}) shapes.push_back({tokens, 1024, 3072, type});
  }
  for (const int64_t tokens : {1, 16}) {
    shapes.push_back({tokens, 1024, 3072, DType::kBF16});  // stays in the L3 cache, as do those
  }
  for (const LinearShape& s : shapes) {
    const std::string name =
        fmt::format("linear/{}/{}x{}/{}", s.tokens, s.in, s.out, DTypeName(s.type));
    benchmark::RegisterBenchmark(name.c_str(), [&machine, s](benchmark::State& state) {
      BenchLinear(state, machine, s);
    })->UseRealTime();
  }
  std::vector<DType> types(std::begin(kTypes), std::end(kTypes));
  types.insert(types.end(), std::begin(kQuantized), std::end(kQuantized));
  for (const DType type : types) {
    for (const MoeShape& s :
         {MoeShape{512, 1024, 1536, 8, 2, type}, MoeShape{64, 1024, 1536, 8, 2, type},
          MoeShape{64, 1024, 1536, 32, 2, type}, MoeShape{1, 6144, 9216, 2, 2, type}}) {
      const std::string name = fmt::format("moe/{}/{}x{}/{}of{}/{}", s.tokens, s.width, s.ffn,
                                           s.chosen, s.experts, DTypeName(type));
      benchmark::RegisterBenchmark(name.c_str(), [&machine, s](benchmark::State& state) {
        BenchMoe(state, machine, s);
      })->UseRealTime();
    }
  }
}

int Main(int argc, char** argv) {
  const char* threads = std::getenv("FULMEN_BENCH_THREADS");
  Machine machine(threads == nullptr ? 0 : std::atoi(threads));
  const auto kernels = CpuKernels();
  if (!kernels) {
    fmt::print(stderr, "{}\n", kernels.error().message);
    return 1;
  }
  machine.kernels = *kernels;
  machine.peaks = MeasurePeaks(machine.pool);
  return RunBenchmarks(argc, argv, [&] {
    fmt::print("{}, {} threads; peaks: {:.1f} GFLOP/s float32, {:.1f} GB/s read\n",
               machine.kernels->name, machine.pool.size(), machine.peaks.fma_flops / 1e9,
               machine.peaks.read_bandwidth / 1e9);
    RegisterAll(machine);
  });
}

}  // namespace
}  // namespace fulmen

int main(int argc, char** argv) { return fulmen::Main(argc, argv); }
