#include "kernels/lightning_attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/register.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/lightning_attention.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/cpu/lightning-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// A head, or for models of few heads on many threads a range of its state's columns.
struct Task : LightningTask {
  float decay;
  Matrix state;  // [dim, columns]
};

struct Scratch : LightningScratch {
  DecayTable decay;
};

void Prefill(const Task& task, const Scratch& scratch) {
  FillDecayTable(task.decay, scratch.decay);
  CopyPadded(task.state, scratch.state);
  for (int64_t first = 0; first < task.q.rows; first += kLightningBlock) {
    const int64_t count = std::min(kLightningBlock, task.q.rows - first);
    LightningBlock(task.Rows(first, count), scratch.decay, {.read = true, .write = true},
                   {task, first + count}, scratch);
  }
  for (int64_t r = 0; r < task.state.rows; ++r) {
    std::copy_n(scratch.state.row(r), task.state.cols, task.state.row(r));
  }
}

// One token, columns [column, column + kVecs vectors): decay, update and output in one pass over
// the state, which is what limits decoding.
template <int kVecs>
HWY_NOINLINE void DecodeColumns(const Task& task, float keep, int64_t column) {
  const Floats d;
  const int64_t lanes = TileLanes();
  const float* q = task.q.data;
  const float* k = task.k.data;
  const FloatsV keeps = hn::Set(d, keep);
  FloatsV values[kVecs];
  FloatsV sums[kVecs];
  for (int i = 0; i < kVecs; ++i) {
    values[i] = hn::LoadU(d, task.v.data + column + i * lanes);
    sums[i] = hn::Zero(d);
  }
  for (int64_t r = 0; r < task.state.rows; ++r) {
    float* HWY_RESTRICT row = task.state.row(r) + column;
    const FloatsV key = hn::Set(d, k[r]);
    const FloatsV query = hn::Set(d, q[r]);
    for (int i = 0; i < kVecs; ++i) {
      const FloatsV kept = hn::Mul(keeps, hn::LoadU(d, row + i * lanes));
      const FloatsV state = hn::MulAdd(key, values[i], kept);
      hn::StoreU(state, d, row + i * lanes);
      sums[i] = hn::MulAdd(query, state, sums[i]);
    }
  }
  for (int i = 0; i < kVecs; ++i) hn::StoreU(sums[i], d, task.out.data + column + i * lanes);
}

void Decode(const Task& task) {
  constexpr int kVecs = HWY_TARGET <= HWY_AVX3 ? 8 : 4;
  const float keep = static_cast<float>(std::exp(-double{task.decay}));
  const int64_t lanes = TileLanes();
  const int64_t columns = task.state.cols;
  int64_t c = 0;
  for (; c + kVecs * lanes <= columns; c += kVecs * lanes) DecodeColumns<kVecs>(task, keep, c);
  for (; c + lanes <= columns; c += lanes) DecodeColumns<1>(task, keep, c);
  for (; c < columns; ++c) {
    float sum = 0.0F;
    for (int64_t r = 0; r < task.state.rows; ++r) {
      float& state = task.state.row(r)[c];
      state = keep * state + task.k.data[r] * task.v.data[c];
      sum += task.q.data[r] * state;
    }
    task.out.data[c] = sum;
  }
}

void LightningAttention(KernelContext& context, ConstMatrix qkv, std::span<const float> decay,
                        Matrix state, Matrix out) {
  const int64_t heads = static_cast<int64_t>(decay.size());
  const int64_t dim = state.cols;
  FULMEN_CHECK(qkv.cols == heads * 3 * dim && state.rows == heads * dim &&
                   out.cols == heads * dim && out.rows == qkv.rows,
               "qkv is [{}, {}], state [{}, {}], out [{}, {}] for {} heads", qkv.rows, qkv.cols,
               state.rows, state.cols, out.rows, out.cols, heads);
  if (qkv.rows == 0) return;
  // Columns are shared out only when heads alone do not occupy the threads: every range repeats the
  // products of queries and keys.
  const int64_t groups = PadColumns(dim) / (kProductVecs * TileLanes());
  const int64_t wanted = (context.pool.size() + heads - 1) / heads;
  const int64_t parts = std::max<int64_t>(1, std::min(groups, wanted));
  const int64_t width = PadColumns((dim + parts - 1) / parts);
  const int64_t ranges = (dim + width - 1) / width;

  Workspace::Frame frame(context.scratch);
  const Scratch* scratch = nullptr;
  if (qkv.rows > 1) {
    scratch = AllocatePerThread(context, [&] {
      return Scratch{AllocateLightningScratch(context.scratch, dim, width),
                     AllocateDecayTable(context.scratch)};
    });
  }
  const int64_t work = qkv.rows * heads * dim * dim / TileLanes();
  ForTasks(context.pool, heads * ranges, work, [&](int64_t index, int worker) {
    const int64_t head = index / ranges;
    const int64_t column = index % ranges * width;
    const int64_t columns = std::min(width, dim - column);
    const ConstMatrix inputs = qkv.Cols(head * 3 * dim, 3 * dim);
    const Task task = {{.q = inputs.Cols(0, dim),
                        .k = inputs.Cols(dim, dim),
                        .v = inputs.Cols(2 * dim + column, columns),
                        .out = out.Cols(head * dim + column, columns)},
                       decay[static_cast<size_t>(head)],
                       state.Rows(head * dim, dim).Cols(column, columns)};
    if (scratch == nullptr) {
      Decode(task);
    } else {
      Scratch mine = scratch[worker];
      mine.v.cols = mine.state.cols = mine.out.cols = PadColumns(columns);
      Prefill(task, mine);
    }
  });
}

void Fill(Kernels& kernels) { kernels.lightning_attention = LightningAttention; }

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(Fill);

void RegisterLightningAttention(Kernels& kernels) { HWY_DYNAMIC_DISPATCH(Fill)(kernels); }

}  // namespace fulmen::cpu
#endif
