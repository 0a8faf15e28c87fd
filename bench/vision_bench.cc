// A layer of the vision tower, CLIP's ViT-L/14 at 336 pixels, and its operations one by one: each
// as a share of this machine's float32 multiply-add peak, measured just before and after it. Width
// 1024, 16 heads of 64, 4096 inside, tiles of 577 rows.
//
//   vision_bench [--benchmark_filter=REGEX] [--benchmark_repetitions=N]
//
// FULMEN_CPU_TARGET chooses the instruction set, FULMEN_BENCH_THREADS the number of threads,
// FULMEN_BENCH_TILES that of tiles (4).
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "bench/run_benchmarks.h"
#include "kernels/cpu/peak_loops.h"
#include "kernels/training_kernels.h"

namespace fulmen {
namespace {

constexpr int64_t kTileRows = 577;
constexpr int64_t kWidth = 1024;
constexpr int64_t kHeadDim = 64;
constexpr int64_t kInner = 4096;
constexpr float kEpsilon = 1e-5F;

// The three tables a tower could run on.
struct Table {
  const char* name;
  const Kernels* kernels;
};

struct Machine {
  ThreadPool pool;
  Workspace scratch;
  KernelContext context{pool, scratch};
  const TrainingKernels* training = nullptr;
  std::vector<Table> tables;
  int64_t tiles;

  Machine(int threads, int64_t tiles_) : pool(threads), tiles(tiles_) {}
  int64_t rows() const { return tiles * kTileRows; }
};

// With one thread its own time counts, so that other work on the machine does not.
double Seconds(const Machine& machine) {
  if (machine.pool.size() == 1) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

// Bodies alternate with the peak's loop, so that both meet the same neighbours.
void Time(benchmark::State& state, Machine& machine, double flops,
          const std::function<void()>& body) {
  constexpr int64_t kPeakIterations = 1 << 21;
  const cpu::CountedLoop loop = cpu::ChosenLoops().fma;
  std::vector<float> sink(static_cast<size_t>(machine.pool.size()));
  double peak_seconds = 0;
  double body_seconds = 0;
  double rounds = 0;
  body();
  for (auto _ : state) {
    const double start = Seconds(machine);
    machine.pool.ParallelFor(machine.pool.size(), [&](int64_t task, int) {
      sink[static_cast<size_t>(task)] = loop.loop(kPeakIterations);
    });
    const double middle = Seconds(machine);
    body();
    const double end = Seconds(machine);
    peak_seconds += middle - start;
    body_seconds += end - middle;
    rounds += 1;
    state.SetIterationTime(end - middle);
  }
  const double peak =
      rounds * loop.operations * kPeakIterations * machine.pool.size() / peak_seconds;
  state.counters["fma_%"] = 100 * rounds * flops / body_seconds / peak;
  state.counters["peak_GFLOPS"] = peak / 1e9;
}

// Arbitrary values between -0.05 and 0.05: speed does not depend on them, but sums stay finite.
class Values {
 public:
  Values(int64_t rows, int64_t cols)
      : values_(static_cast<size_t>(rows * cols)), rows_(rows), cols_(cols) {
    uint32_t state = 1;
    for (float& value : values_) {
      state = state * 1664525U + 1013904223U;
      value = (static_cast<float>(state >> 8) * 0x1p-23F - 1.0F) * 0.05F;
    }
  }
  Matrix matrix() { return {values_.data(), rows_, cols_}; }
  std::span<float> all() { return values_; }

 private:
  std::vector<float> values_;
  int64_t rows_;
  int64_t cols_;
};

// The same as a weight of a float type.
class Weight {
 public:
  Weight(int64_t rows, int64_t cols, DType type) : bytes_(BytesOf(type, rows * cols)) {
    Values values(rows, cols);
    for (size_t i = 0; i < values.all().size(); ++i) {
      const float value = values.all()[i];
      if (type == DType::kF32) {
        std::memcpy(&bytes_[4 * i], &value, 4);
      } else {
        const uint16_t bits = BF16FromF32(value);
        std::memcpy(&bytes_[2 * i], &bits, 2);
      }
    }
    view_ = {bytes_.data(), type, rows, cols};
  }
  const WeightMatrix& view() const { return view_; }

 private:
  std::vector<std::byte> bytes_;
  WeightMatrix view_;
};

double LinearFlops(int64_t rows, int64_t in, int64_t out) {
  return 2.0 * static_cast<double>(rows * in * out);
}
// Of `products` over the pairs of a query and a key.
double AttentionFlops(const Machine& machine, int products) {
  return 2.0 * products * static_cast<double>(machine.rows() * kTileRows * kWidth);
}

std::vector<int64_t> Tiles(const Machine& machine) {
  std::vector<int64_t> starts = {0};
  for (int64_t tile = 0; tile < machine.tiles; ++tile) starts.push_back(starts.back() + kTileRows);
  return starts;
}

struct Layer {
  Weight q, k, v, out, fc1, fc2, bias, inner_bias;
  Values x, normed, qkv, inner;
  std::vector<int64_t> starts;

  Layer(const Machine& machine, DType type)
      : q(kWidth, kWidth, type),
        k(kWidth, kWidth, type),
        v(kWidth, kWidth, type),
        out(kWidth, kWidth, type),
        fc1(kInner, kWidth, type),
        fc2(kWidth, kInner, type),
        bias(1, kWidth, type),
        inner_bias(1, kInner, type),
        x(machine.rows(), kWidth),
        normed(machine.rows(), kWidth),
        qkv(machine.rows(), 3 * kWidth),
        inner(machine.rows(), kInner),
        starts(Tiles(machine)) {}
};

// x += out(attention(q, k, v of norm(x))); x += fc2(gelu(fc1(norm(x)))). All with biases.
void RunLayer(const Kernels& kernels, KernelContext& context, Layer& layer) {
  const Matrix x = layer.x.matrix();
  const Matrix normed = layer.normed.matrix();
  const Matrix inner = layer.inner.matrix();
  const auto part = [&](int64_t index) { return layer.qkv.matrix().Cols(index * kWidth, kWidth); };
  const WeightMatrix& bias = layer.bias.view();
  const auto add_to_x = [&](const Weight& weight, ConstMatrix from) {
    kernels.linear(context, from, {{weight.view(), normed}});
    kernels.add_bias(context, normed, bias, normed);
    kernels.residual(context, 1.0F, x, 1.0F, normed, x);
  };
  kernels.layer_norm(context, x, bias, bias, kEpsilon, normed);
  kernels.linear(context, normed,
                 {{layer.q.view(), part(0)}, {layer.k.view(), part(1)}, {layer.v.view(), part(2)}});
  for (int64_t i = 0; i < 3; ++i) kernels.add_bias(context, part(i), bias, part(i));
  const Matrix attended = inner.Cols(0, kWidth);
  kernels.bidirectional_attention(context, {part(0), part(1), part(2), kHeadDim, layer.starts},
                                  attended, {});
  add_to_x(layer.out, attended);
  kernels.layer_norm(context, x, bias, bias, kEpsilon, normed);
  kernels.linear(context, normed, {{layer.fc1.view(), inner}});
  kernels.bias_gelu(context, inner, layer.inner_bias.view(), inner);
  add_to_x(layer.fc2, inner);
}

void BenchLayer(benchmark::State& state, Machine& machine, const Kernels& kernels, DType type) {
  Layer layer(machine, type);
  const double flops = 4 * LinearFlops(machine.rows(), kWidth, kWidth) +
                       2 * LinearFlops(machine.rows(), kWidth, kInner) + AttentionFlops(machine, 2);
  Time(state, machine, flops, [&] { RunLayer(kernels, machine.context, layer); });
}

void BenchLinear(benchmark::State& state, Machine& machine, const Kernels& kernels, DType type,
                 int64_t in, int64_t out) {
  const Weight weight(out, in, type);
  Values x(machine.rows(), in);
  Values y(machine.rows(), out);
  Time(state, machine, LinearFlops(machine.rows(), in, out), [&] {
    kernels.linear(machine.context, x.matrix(), {{weight.view(), y.matrix()}});
  });
}

void BenchAttention(benchmark::State& state, Machine& machine, bool backward) {
  const TrainingKernels& kernels = *machine.training;
  const int64_t rows = machine.rows();
  Values q(rows, kWidth), k(rows, kWidth), v(rows, kWidth), out(rows, kWidth), dout(rows, kWidth);
  Values dq(rows, kWidth), dk(rows, kWidth), dv(rows, kWidth);
  Values log_sums(rows, kWidth / kHeadDim);
  const std::vector<int64_t> starts = Tiles(machine);
  const PackedAttention attention = {q.matrix(), k.matrix(), v.matrix(), kHeadDim, starts};
  const auto forward = [&] {
    kernels.forward.bidirectional_attention(machine.context, attention, out.matrix(),
                                            log_sums.matrix());
  };
  forward();
  Time(state, machine, AttentionFlops(machine, backward ? 5 : 2), [&] {
    if (!backward) return forward();
    kernels.bidirectional_attention_backward(machine.context, attention, out.matrix(),
                                             log_sums.matrix(), dout.matrix(), dq.matrix(),
                                             dk.matrix(), dv.matrix());
  });
}

// They have no products that count: what they read and write, in GB/s.
void BenchRows(benchmark::State& state, Machine& machine, const std::string& operation) {
  const TrainingKernels& kernels = *machine.training;
  const int64_t cols = operation.starts_with("bias_gelu") ? kInner : kWidth;
  const Weight row(1, cols, DType::kF32);
  Values x(machine.rows(), cols), dy(machine.rows(), cols), out(machine.rows(), cols);
  Values dweight(1, cols), dbias(1, cols);
  KernelContext& c = machine.context;
  const auto run = [&] {
    if (operation == "layer_norm") {
      kernels.forward.layer_norm(c, x.matrix(), row.view(), row.view(), kEpsilon, out.matrix());
    } else if (operation == "layer_norm_backward") {
      kernels.layer_norm_backward(c, x.matrix(), row.view(), kEpsilon, dy.matrix(), {},
                                  out.matrix(), dweight.all(), dbias.all());
    } else if (operation == "bias_gelu") {
      kernels.forward.bias_gelu(c, x.matrix(), row.view(), out.matrix());
    } else {
      kernels.bias_gelu_backward(c, x.matrix(), row.view(), dy.matrix(), out.matrix(), dbias.all());
    }
  };
  run();
  for (auto _ : state) {
    const double start = Seconds(machine);
    run();
    state.SetIterationTime(Seconds(machine) - start);
  }
  const int streams = operation.ends_with("backward") ? 3 : 2;
  state.counters["GB/s"] =
      benchmark::Counter(4e-9 * streams * static_cast<double>(machine.rows() * cols),
                         benchmark::Counter::kIsIterationInvariantRate);
}

void Register(const std::string& name, const std::function<void(benchmark::State&)>& body) {
  benchmark::RegisterBenchmark(name.c_str(), body)->Unit(benchmark::kMillisecond)->UseManualTime();
}

void RegisterAll(Machine& machine) {
  constexpr int64_t kShapes[][2] = {{kWidth, kWidth}, {kWidth, kInner}, {kInner, kWidth}};
  for (const Table& table : machine.tables) {
    for (const DType type : {DType::kF32, DType::kBF16}) {
      const std::string suffix = fmt::format("{}/{}", table.name, DTypeName(type));
      Register("layer/" + suffix, [&machine, &table, type](benchmark::State& state) {
        BenchLayer(state, machine, *table.kernels, type);
      });
      for (const auto& [in, out] : kShapes) {
        Register(fmt::format("linear/{}x{}/{}", in, out, suffix),
                 [&machine, &table, type, in = in, out = out](benchmark::State& state) {
                   BenchLinear(state, machine, *table.kernels, type, in, out);
                 });
      }
    }
  }
  for (const bool backward : {false, true}) {
    Register(backward ? "attention_backward" : "attention",
             [&machine, backward](benchmark::State& state) {
               BenchAttention(state, machine, backward);
             });
  }
  for (const char* operation :
       {"layer_norm", "layer_norm_backward", "bias_gelu", "bias_gelu_backward"}) {
    Register(operation, [&machine, operation](benchmark::State& state) {
      BenchRows(state, machine, operation);
    });
  }
}

int Number(const char* variable, int otherwise) {
  const char* value = std::getenv(variable);
  return value == nullptr ? otherwise : std::atoi(value);
}

int Main(int argc, char** argv) {
  Machine machine(Number("FULMEN_BENCH_THREADS", 0), Number("FULMEN_BENCH_TILES", 4));
  const auto kernels = CpuKernels();
  const auto float32 = CpuTrainingKernels(Precision::kFloat32);
  const auto bfloat16 = CpuTrainingKernels(Precision::kBFloat16);
  if (!kernels || !float32 || !bfloat16) {
    fmt::print(stderr, "{}\n", (kernels ? float32.error() : kernels.error()).message);
    return 1;
  }
  machine.training = *float32;
  machine.tables = {{"inference", *kernels},
                    {"training", &(*float32)->forward},
                    {"training_bf16", &(*bfloat16)->forward}};
  return RunBenchmarks(argc, argv, [&] {
    fmt::print("{}, {} threads, {} tiles\n", (*kernels)->name, machine.pool.size(), machine.tiles);
    RegisterAll(machine);
  });
}

}  // namespace
}  // namespace fulmen

int main(int argc, char** argv) { return fulmen::Main(argc, argv); }
