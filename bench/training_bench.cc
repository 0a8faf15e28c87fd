// The products of a training step, each as a share of this machine's float32 multiply-add peak,
// measured just before it. The geometry is that of docs/performance.md: hidden 384, heads of 64, 4
// experts of 768 top-2, vocabulary 4096, 8192 tokens.
//
//   training_bench [--benchmark_filter=REGEX] [--benchmark_repetitions=N]
//
// FULMEN_CPU_TARGET chooses the instruction set, FULMEN_BENCH_THREADS the number of threads.
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <cstdlib>
#include <functional>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/peak.h"
#include "kernels/training.h"

namespace fulmen {
namespace {

constexpr int64_t kTokens = 8192;

struct Machine {
  ThreadPool pool;
  Workspace scratch;
  KernelContext context{pool, scratch};
  const Kernels* kernels = nullptr;
  const TrainingKernels* training = nullptr;

  explicit Machine(int threads) : pool(threads) {}
};

// Owns its values, arbitrary and of magnitude one: speed does not depend on them.
class Values {
 public:
  Values(int64_t rows, int64_t cols)
      : values_(static_cast<size_t>(rows * cols)), rows_(rows), cols_(cols) {
    uint32_t state = 1;
    for (float& value : values_) {
      state = state * 1664525U + 1013904223U;
      value = static_cast<float>(state >> 8) * 0x1p-23F - 1.0F;
    }
  }
  Matrix matrix() { return {values_.data(), rows_, cols_}; }
  TensorView tensor() const {
    return {reinterpret_cast<const std::byte*>(values_.data()), DType::kF32, {rows_, cols_}};
  }

 private:
  std::vector<float> values_;
  int64_t rows_;
  int64_t cols_;
};

void Time(benchmark::State& state, Machine& machine, double flops,
          const std::function<void()>& body) {
  body();
  const double peak = MeasureFmaFlops(machine.pool);
  for (auto _ : state) body();
  state.counters["fma_%"] =
      benchmark::Counter(100 * flops / peak, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["peak_GFLOPS"] = peak / 1e9;
}

enum class Product { kForward, kInput, kWeight };

void BenchLinear(benchmark::State& state, Machine& machine, Product product, int64_t in,
                 int64_t out) {
  Values x(kTokens, in);
  Values y(kTokens, out);
  Values weight(out, in);
  const double flops = 2.0 * static_cast<double>(kTokens * in * out);
  Time(state, machine, flops, [&] {
    switch (product) {
      case Product::kForward:
        return machine.kernels->linear(machine.context, x.matrix(), weight.tensor(), y.matrix());
      case Product::kInput:
        return machine.training->linear_backward_input(machine.context, y.matrix(), weight.tensor(),
                                                       x.matrix());
      case Product::kWeight:
        return machine.training->linear_backward_weight(machine.context, x.matrix(), y.matrix(),
                                                        weight.matrix());
    }
  });
}

void RegisterAll(Machine& machine) {
  constexpr int64_t kShapes[][2] = {{384, 1152}, {384, 384}, {384, 128}, {384, 4}};
  constexpr std::pair<Product, const char*> kProducts[] = {
      {Product::kForward, "linear"}, {Product::kInput, "input"}, {Product::kWeight, "weight"}};
  for (const auto& [in, out] : kShapes) {
    for (const auto& [product, name] : kProducts) {
      const std::string full = fmt::format("{}/{}x{}", name, in, out);
      benchmark::RegisterBenchmark(full.c_str(), [&machine, product = product, in = in,
                                                  out = out](benchmark::State& state) {
        BenchLinear(state, machine, product, in, out);
      })->UseRealTime();
    }
  }
}

int Main(int argc, char** argv) {
  const char* threads = std::getenv("FULMEN_BENCH_THREADS");
  Machine machine(threads == nullptr ? 0 : std::atoi(threads));
  const auto kernels = CpuKernels();
  const auto training = CpuTrainingKernels();
  if (!kernels || !training) {
    fmt::print(stderr, "{}\n", (kernels ? training.error() : kernels.error()).message);
    return 1;
  }
  machine.kernels = *kernels;
  machine.training = *training;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  RegisterAll(machine);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace
}  // namespace fulmen

int main(int argc, char** argv) { return fulmen::Main(argc, argv); }
