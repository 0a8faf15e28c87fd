// The products of a training step, each as a share of this machine's float32 multiply-add peak,
// measured just before it. The geometry is that of docs/performance.md: hidden 384, heads of 64, 4
// experts of 768 top-2, vocabulary 4096, 8192 tokens.
//
//   training_bench [--benchmark_filter=REGEX] [--benchmark_repetitions=N]
//
// FULMEN_CPU_TARGET chooses the instruction set, FULMEN_BENCH_THREADS the number of threads,
// FULMEN_BENCH_PRECISION float32 or bfloat16 (a share beyond 100 % is no mistake there).
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "bench/run_benchmarks.h"
#include "kernels/kernels.h"
#include "kernels/peak.h"
#include "kernels/training_kernels.h"

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
  WeightMatrix weight() const { return {values_.data(), DType::kF32, rows_, cols_}; }

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
        return machine.training->forward.linear(machine.context, x.matrix(),
                                                {{weight.weight(), y.matrix()}});
      case Product::kInput:
        return machine.training->linear_backward_input(machine.context, y.matrix(), weight.weight(),
                                                       /*add=*/false, x.matrix());
      case Product::kWeight:
        return machine.training->linear_backward_weight(machine.context, x.matrix(), y.matrix(),
                                                        weight.matrix());
    }
  });
}

struct MoeProblem {
  static constexpr int64_t kWidth = 384;
  static constexpr int64_t kFfn = 768;
  static constexpr int64_t kExperts = 4;
  static constexpr int64_t kChosen = 2;

  Values x{kTokens, kWidth}, out{kTokens, kWidth}, dx{kTokens, kWidth};
  Values gate{kTokens * kChosen, kFfn}, up{kTokens * kChosen, kFfn};
  Values mix{kTokens, kChosen}, dmix{kTokens, kChosen};
  std::vector<Values> weights, weight_gradients;
  std::vector<ExpertWeights> experts;
  std::vector<ExpertGradients> gradients;
  std::vector<int32_t> choice;

  MoeProblem() {
    for (int64_t e = 0; e < kExperts; ++e) {
      for (const auto& [rows, cols] : {std::pair{kFfn, kWidth}, {kFfn, kWidth}, {kWidth, kFfn}}) {
        weights.emplace_back(rows, cols);
        weight_gradients.emplace_back(rows, cols);
      }
    }
    for (size_t i = 0; i < weights.size(); i += 3) {
      experts.push_back({weights[i].weight(), weights[i + 1].weight(), weights[i + 2].weight()});
      gradients.push_back({weight_gradients[i].matrix(), weight_gradients[i + 1].matrix(),
                           weight_gradients[i + 2].matrix()});
    }
    uint32_t state = 1;
    for (int64_t i = 0; i < kTokens * kChosen; ++i) {
      state = state * 1664525U + 1013904223U;
      choice.push_back(static_cast<int32_t>(
          i % 2 == 0 ? state >> 30 : (choice.back() + 1 + (state >> 16) % 3) % 4));
    }
  }
  MatrixView<const int32_t> choices() const { return {choice.data(), kTokens, kChosen}; }
};

void BenchMoe(benchmark::State& state, Machine& machine, bool backward) {
  MoeProblem p;
  const double flops = (backward ? 12.0 : 6.0) * MoeProblem::kChosen * MoeProblem::kWidth *
                       MoeProblem::kFfn * kTokens;
  const MoeActivations kept = {p.gate.matrix(), p.up.matrix()};
  Time(state, machine, flops, [&] {
    if (backward) {
      machine.training->moe_backward(machine.context, p.x.matrix(), p.experts, p.choices(),
                                     p.mix.matrix(), kept, p.out.matrix(), p.dx.matrix(),
                                     p.dmix.matrix(), p.gradients);
    } else {
      machine.training->forward.moe(machine.context, p.x.matrix(), p.experts, p.choices(),
                                    p.mix.matrix(), kept, p.out.matrix());
    }
  });
}

void BenchCrossEntropy(benchmark::State& state, Machine& machine) {
  constexpr int64_t kWidth = 384;
  constexpr int64_t kVocabulary = 4096;
  Values x(kTokens, kWidth);
  Values dx(kTokens, kWidth);
  Values head(kVocabulary, kWidth);
  Values dhead(kVocabulary, kWidth);
  std::vector<int32_t> targets;
  for (int64_t t = 0; t < kTokens; ++t) {
    targets.push_back(static_cast<int32_t>(t * 7919 % kVocabulary));
  }
  Time(state, machine, 6.0 * static_cast<double>(kTokens * kWidth * kVocabulary), [&] {
    benchmark::DoNotOptimize(machine.training->cross_entropy(
        machine.context, x.matrix(), head.weight(), targets, 1e-4F, dx.matrix(), dhead.matrix()));
  });
}

// With one thread its own time counts, so that other work on the machine does not.
void Register(const Machine& machine, const std::string& name,
              const std::function<void(benchmark::State&)>& body) {
  auto* registered = benchmark::RegisterBenchmark(name.c_str(), body);
  if (machine.pool.size() > 1) registered->UseRealTime();
}

void RegisterAll(Machine& machine) {
  constexpr int64_t kShapes[][2] = {{384, 1152}, {384, 384}, {384, 128}, {384, 4}};
  constexpr std::pair<Product, const char*> kProducts[] = {
      {Product::kForward, "linear"}, {Product::kInput, "input"}, {Product::kWeight, "weight"}};
  for (const auto& [in, out] : kShapes) {
    for (const auto& [product, name] : kProducts) {
      Register(machine, fmt::format("{}/{}x{}", name, in, out),
               [&machine, product = product, in = in, out = out](benchmark::State& state) {
                 BenchLinear(state, machine, product, in, out);
               });
    }
  }
  Register(machine, "moe/forward",
           [&](benchmark::State& state) { BenchMoe(state, machine, /*backward=*/false); });
  Register(machine, "moe/backward",
           [&](benchmark::State& state) { BenchMoe(state, machine, /*backward=*/true); });
  Register(machine, "cross_entropy",
           [&](benchmark::State& state) { BenchCrossEntropy(state, machine); });
}

int Main(int argc, char** argv) {
  const char* threads = std::getenv("FULMEN_BENCH_THREADS");
  Machine machine(threads == nullptr ? 0 : std::atoi(threads));
  const auto kernels = CpuKernels();
  const char* name = std::getenv("FULMEN_BENCH_PRECISION");
  const auto precision = PrecisionFromName(name == nullptr ? "float32" : name);
  if (!precision) {
    fmt::print(stderr, "FULMEN_BENCH_PRECISION: {}\n", precision.error().message);
    return 1;
  }
  const auto training = CpuTrainingKernels(*precision);
  if (!kernels || !training) {
    fmt::print(stderr, "{}\n", (kernels ? training.error() : kernels.error()).message);
    return 1;
  }
  machine.kernels = *kernels;
  machine.training = *training;
  return RunBenchmarks(argc, argv, [&] { RegisterAll(machine); });
}

}  // namespace
}  // namespace fulmen

int main(int argc, char** argv) { return fulmen::Main(argc, argv); }
