// Attention as a share of what the machine can do, measured in the same run: compute-bound work
// (prefill) of the multiply-add peak, memory-bound work (decoding) of the read bandwidth.
// Geometry of MiniMax-Text-01 unless a name says otherwise: 64 heads of 128, 8 KV heads.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <map>
#include <random>
#include <span>
#include <vector>

#include "base/machine.h"
#include "base/memory.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "kernels/peak.h"
#include "kernels/training_kernels.h"

namespace fulmen {
namespace {

constexpr int64_t kDim = 128;

const Kernels& Cpu() {
  static const Result<const Kernels*> kernels = CpuKernels();
  if (!kernels) {
    fmt::print(stderr, "{}\n", kernels.error().message);
    std::exit(1);
  }
  return **kernels;
}

const TrainingKernels& CpuTraining() {
  static const Result<const TrainingKernels*> kernels = CpuTrainingKernels();
  if (!kernels) {
    fmt::print(stderr, "{}\n", kernels.error().message);
    std::exit(1);
  }
  return **kernels;
}

// A pool of each size, with the peaks its threads reach.
struct Machine {
  explicit Machine(int threads) : pool(threads), peaks(MeasurePeaks(pool)) {}

  ThreadPool pool;
  Peaks peaks;
  Workspace scratch;
  KernelContext context{pool, scratch};
};

Machine& MachineOf(int64_t threads) {
  static std::map<int64_t, Machine> machines;
  return machines.try_emplace(threads, static_cast<int>(threads)).first->second;
}

// Aligned and on large pages, as the memory that operations work in.
using AlignedFloats = std::vector<float, AlignedAllocator<float>>;

AlignedFloats Random(int64_t count) {
  std::minstd_rand generator(1);
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  AlignedFloats values(static_cast<size_t>(count));
  for (float& value : values) value = uniform(generator);
  return values;
}

// Shares come out in percent; `flops` and `bytes` are those of one iteration.
void Report(benchmark::State& state, const Machine& machine, double flops, double bytes) {
  const auto share = [](double amount, double peak) {
    return benchmark::Counter(100.0 * amount / peak, benchmark::Counter::kIsIterationInvariantRate);
  };
  state.counters["fma_%"] = share(flops, machine.peaks.fma_flops);
  state.counters["bandwidth_%"] = share(bytes, machine.peaks.read_bandwidth);
  state.counters["peak_GFLOPS"] = machine.peaks.fma_flops / 1e9;
  state.counters["peak_GBps"] = machine.peaks.read_bandwidth / 1e9;
}

// Arguments: threads, heads, tokens. Counts the operations of the block form with blocks of 32,
// halved inside a block for causality, whatever the implementation really does. Decoding counts
// what LightningDecodeBytes does; the memories of several layers take turns, so that they come from
// memory.
void LightningAttention(benchmark::State& state) {
  Machine& machine = MachineOf(state.range(0));
  const int64_t heads = state.range(1);
  const int64_t tokens = state.range(2);
  const int64_t layers = tokens == 1 ? 24 : 1;
  const int64_t memory_size = LightningMemorySize(heads, kDim);
  const AlignedFloats qkv = Random(tokens * heads * 3 * kDim);
  std::vector<float> decay;
  for (int64_t h = 1; h <= heads; ++h) {
    decay.push_back(std::exp2(-8.0F * static_cast<float>(h) / static_cast<float>(heads)));
  }
  AlignedFloats memory(static_cast<size_t>(layers * memory_size), 0.0F);
  AlignedFloats out(static_cast<size_t>(tokens * heads * kDim));
  const std::array<int64_t, 2> starts = {0, tokens};
  int64_t layer = 0;
  int64_t position = kLightningBlock;
  for (auto _ : state) {
    const std::array<int64_t, 1> positions = {position};
    const std::array<float*, 1> memories = {memory.data() + layer * memory_size};
    Cpu().lightning_attention(machine.context, {qkv.data(), tokens, heads * 3 * kDim}, decay,
                              {starts, positions}, memories, {out.data(), tokens, heads * kDim});
    layer = (layer + 1) % layers;
    if (layer == 0) position = kLightningBlock + (position + tokens) % kLightningBlock;
  }
  constexpr double kBlock = kLightningBlock;
  const double per_token =
      tokens == 1 ? 2.0 * kDim * (kDim + kBlock) : 2.0 * (2 * kDim * kDim + kBlock * kDim);
  // The state read, and written once a block; half a block of keys and values.
  const double bytes = 4.0 * kDim * (kDim * (1 + 1 / kBlock) + kBlock + 1);
  Report(state, machine, static_cast<double>(tokens * heads) * per_token,
         static_cast<double>(heads) * bytes);
}

// Arguments: threads, queries, positions in the cache with them, type of the cache (0 F32, 1 F16, 2
// BF16, 3 Q8_0).
void SoftmaxAttention(benchmark::State& state) {
  constexpr int64_t kHeads = 64;
  constexpr int64_t kKvHeads = 8;
  constexpr int64_t kPageTokens = 256;
  constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0};
  Machine& machine = MachineOf(state.range(0));
  const int64_t tokens = state.range(1);
  const int64_t end = state.range(2);
  const int64_t pages = (end + kPageTokens - 1) / kPageTokens;
  const KvFormat format = {kTypes[state.range(3)], kKvHeads, kDim};
  const auto page_size = static_cast<int64_t>(format.BytesOfTokens(kPageTokens));
  std::vector<std::byte, AlignedAllocator<std::byte>> memory(
      static_cast<size_t>(pages * page_size));
  std::vector<std::byte*> pointers;
  for (int64_t page = 0; page < pages; ++page) pointers.push_back(memory.data() + page * page_size);
  const std::array<std::span<std::byte* const>, 1> sequences = {pointers};
  const KvCache kv = {
      .pages = sequences, .page_tokens = kPageTokens, .offset = 0, .format = format};
  const AlignedFloats keys = Random(end * kKvHeads * kDim);
  const ConstMatrix stored(keys.data(), end, kKvHeads * kDim);
  Cpu().store_kv(machine.context, stored, stored, {std::array<int64_t, 2>{0, end}, {}}, kv);
  const std::array<int64_t, 2> starts = {0, tokens};
  const std::array<int64_t, 1> positions = {end - tokens};
  const AlignedFloats queries = Random(tokens * kHeads * kDim);
  AlignedFloats out(queries.size());
  for (auto _ : state) {
    Cpu().softmax_attention(machine.context, {queries.data(), tokens, kHeads * kDim}, kv,
                            {starts, positions}, {out.data(), tokens, kHeads * kDim}, {});
  }
  const double seen = static_cast<double>(tokens) * static_cast<double>(2 * end - tokens + 1) / 2;
  Report(state, machine, 4.0 * kDim * kHeads * seen,
         static_cast<double>(format.BytesOfTokens(end)));
}

// Borders of 2048 tokens packed with documents of `length` tokens, or where that is 0 of lengths
// from 16 to 2048 with logarithms spread evenly.
std::vector<int64_t> Documents(int64_t length) {
  constexpr int64_t kTokens = 2048;
  std::minstd_rand generator(1);
  std::uniform_real_distribution<double> exponent(std::log2(16.0), std::log2(double{kTokens}));
  std::vector<int64_t> starts = {0};
  while (starts.back() < kTokens) {
    const double next = length > 0 ? static_cast<double>(length) : std::exp2(exponent(generator));
    starts.push_back(std::min(kTokens, starts.back() + static_cast<int64_t>(next)));
  }
  return starts;
}

// A matrix as a workspace hands it out: rows begin on cache lines.
Matrix RandomMatrix(Workspace& workspace, int64_t rows, int64_t cols) {
  const Matrix matrix = workspace.AllocateMatrix(rows, cols);
  const AlignedFloats values = Random(rows * cols);
  std::copy(values.begin(), values.end(), matrix.data);
  return matrix;
}

struct Passes {
  bool forward;
  bool backward;
};

// Forward, backward, or one after the other.
Passes PassesOf(int64_t pass) { return {.forward = pass != 1, .backward = pass != 0}; }

// Multiply-adds per head of the block form with blocks of 32, whatever the implementation really
// does: tokens meet the state, or enter it, where there are blocks before or after their own.
double LightningProducts(const std::vector<int64_t>& starts, double dim, Passes passes) {
  constexpr int64_t kBlock = 32;
  double before_last = 0;  // tokens in blocks that another follows
  double after_first = 0;
  double pairs = 0;
  for (size_t i = 0; i + 1 < starts.size(); ++i) {
    const int64_t length = starts[i + 1] - starts[i];
    const int64_t whole = (length - 1) / kBlock;
    const double last = static_cast<double>(length - whole * kBlock);
    before_last += static_cast<double>(whole * kBlock);
    after_first += static_cast<double>(length - std::min(length, kBlock));
    pairs += static_cast<double>(whole * kBlock * (kBlock + 1)) / 2 + last * (last + 1) / 2;
  }
  const double forward = dim * dim * (before_last + after_first) + 2 * dim * pairs;
  const double backward = dim * dim * (3 * before_last + 2 * after_first) + 5 * dim * pairs;
  return (passes.forward ? forward : 0) + (passes.backward ? backward : 0);
}

// Arguments: threads, head_dim, pass (0 forward, 1 backward, 2 both), length of the documents (0:
// mixed). 6 heads.
void LightningTraining(benchmark::State& state) {
  constexpr int64_t kHeads = 6;
  Machine& machine = MachineOf(state.range(0));
  const int64_t dim = state.range(1);
  const Passes passes = PassesOf(state.range(2));
  const std::vector<int64_t> starts = Documents(state.range(3));
  const int64_t tokens = starts.back();
  const int64_t width = kHeads * dim;
  Workspace memory;
  const ConstMatrix qkv = RandomMatrix(memory, tokens, 3 * width);
  const ConstMatrix dout = RandomMatrix(memory, tokens, width);
  const Matrix out = RandomMatrix(memory, tokens, width);
  const Matrix dqkv = RandomMatrix(memory, tokens, 3 * width);
  const std::vector<float> decay = {0.5F, 0.25F, 0.1F, 0.03F, 0.01F, 0.004F};
  const std::vector<float*> nothing_kept(starts.size() - 1);
  for (auto _ : state) {
    if (passes.forward) {
      Cpu().lightning_attention(machine.context, qkv, decay, {starts, {}}, nothing_kept, out);
    }
    if (passes.backward) {
      CpuTraining().lightning_attention_backward(machine.context, qkv, decay, starts, dout, dqkv);
    }
  }
  Report(state, machine, 2 * kHeads * LightningProducts(starts, static_cast<double>(dim), passes),
         0);
}

// Arguments as above. 6 heads, 2 KV heads. Counts two products forward and five backward over the
// pairs of a query and a key it sees.
void SoftmaxTraining(benchmark::State& state) {
  constexpr int64_t kHeads = 6;
  constexpr int64_t kKvHeads = 2;
  Machine& machine = MachineOf(state.range(0));
  const int64_t dim = state.range(1);
  const Passes passes = PassesOf(state.range(2));
  const std::vector<int64_t> starts = Documents(state.range(3));
  const int64_t tokens = starts.back();
  const int64_t width = kHeads * dim;
  const int64_t kv_width = kKvHeads * dim;
  Workspace memory;
  const Matrix kv = RandomMatrix(memory, tokens, 2 * kv_width);
  const Slices slices = {starts, {}};
  const PackedAttention attention = {.queries = RandomMatrix(memory, tokens, width),
                                     .keys = kv.Cols(0, kv_width),
                                     .values = kv.Cols(kv_width, kv_width),
                                     .head_dim = dim,
                                     .starts = starts};
  const ConstMatrix dout = RandomMatrix(memory, tokens, width);
  const Matrix out = RandomMatrix(memory, tokens, width);
  const Matrix log_sums = RandomMatrix(memory, tokens, kHeads);
  const Matrix dqueries = RandomMatrix(memory, tokens, width);
  const Matrix dkeys = RandomMatrix(memory, tokens, kv_width);
  const Matrix dvalues = RandomMatrix(memory, tokens, kv_width);
  const auto attend = [&] {
    const Workspace::Frame frame(machine.scratch);
    const BatchKv own(machine.scratch, {DType::kF32, kKvHeads, dim}, slices);
    Cpu().store_kv(machine.context, attention.keys, attention.values, slices, own.cache());
    Cpu().softmax_attention(machine.context, attention.queries, own.cache(), slices, out, log_sums);
  };
  attend();
  for (auto _ : state) {
    if (passes.forward) attend();
    if (passes.backward) {
      CpuTraining().softmax_attention_backward(machine.context, attention, out, log_sums, dout,
                                               dqueries, dkeys, dvalues);
    }
  }
  double pairs = 0;
  for (size_t i = 0; i + 1 < starts.size(); ++i) {
    const double length = static_cast<double>(starts[i + 1] - starts[i]);
    pairs += length * (length + 1) / 2;
  }
  const double products = (passes.forward ? 2 : 0) + (passes.backward ? 5 : 0);
  Report(state, machine, 2 * products * static_cast<double>(dim * kHeads) * pairs, 0);
}

void Threads(benchmark::internal::Benchmark* benchmark, const std::vector<int64_t>& rest) {
  for (const int64_t threads : {1, AvailableProcessors()}) {
    std::vector<int64_t> arguments = {threads};
    arguments.insert(arguments.end(), rest.begin(), rest.end());
    benchmark->Args(arguments);
  }
}

BENCHMARK(LightningAttention)
    ->ArgNames({"threads", "heads", "tokens"})
    ->Apply([](benchmark::internal::Benchmark* b) {
      for (const int64_t tokens : {1, 8, 64, 512}) Threads(b, {64, tokens});
      Threads(b, {8, 512});
    })
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

BENCHMARK(SoftmaxAttention)
    ->ArgNames({"threads", "queries", "context", "type"})
    ->Apply([](benchmark::internal::Benchmark* b) {
      Threads(b, {512, 512, 0});
      Threads(b, {2048, 2048, 0});
      for (const int64_t type : {0, 1, 2, 3}) {
        Threads(b, {512, 8192, type});
        Threads(b, {1, 512, type});
        Threads(b, {1, 32768, type});
      }
    })
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

void TrainingArguments(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"threads", "head_dim", "pass", "length"});
  for (const int64_t dim : {64, 128}) {
    for (const int64_t pass : {0, 1, 2}) Threads(benchmark, {dim, pass, 2048});
    for (const int64_t length : {0, 256, 16}) Threads(benchmark, {dim, 2, length});
  }
  benchmark->UseRealTime()->Unit(benchmark::kMicrosecond);
}

BENCHMARK(LightningTraining)->Apply(TrainingArguments);
BENCHMARK(SoftmaxTraining)->Apply(TrainingArguments);

}  // namespace
}  // namespace fulmen

BENCHMARK_MAIN();
