#include "kernels/lightning_attention.h"

#include <algorithm>

#include "kernels/cpu/longest_first.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/register.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/lightning_attention.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/cpu/lightning-inl.h"

// One task is one head of one slice, whatever the number of threads. The tokens of a prompt and the
// one of a decoding step go through the same products, whose bits do not depend on their number.
HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

struct Task {
  Qkv<const float> inputs;
  int64_t position;
  float* memory;  // of the head; null where nothing is kept
  Matrix out;
};

// One set per thread.
struct Scratch {
  LightningScratch lightning;
  Qkv<float> active;  // of a block
};

Scratch AllocateScratch(Workspace& workspace, int64_t dim) {
  return {.lightning = AllocateLightningScratch(workspace, dim),
          .active = {workspace.AllocateMatrix(kLightningBlock, 3 * dim)}};
}

// A head's memory, as lightning_attention.h lays it out.
struct HeadMemory {
  Matrix kt;  // [dim, kLightningBlock]
  StatePanels panels;

  HeadMemory(float* data, int64_t dim)
      : kt(data, dim, kLightningBlock), panels(data + kt.rows * kt.cols, dim, dim) {}
};

HWY_NOINLINE void CopyRows(ConstMatrix from, Matrix to) {
  for (int64_t r = 0; r < from.rows; ++r) CopyRow(from.cols, from.row(r), to.row(r));
}

// The memory to and from scratch whose columns are whole vectors.
void CopyIn(const HeadMemory& memory, const LightningScratch& scratch) {
  CopyRows(memory.kt, scratch.kt);
  for (int64_t first = 0; first < memory.panels.columns(); first += kStatePanel) {
    CopyPadded(memory.panels.Panel(first), scratch.panels.Panel(first));
  }
}
void CopyOut(const LightningScratch& scratch, const HeadMemory& memory) {
  CopyRows(scratch.kt, memory.kt);
  for (int64_t first = 0; first < memory.panels.columns(); first += kStatePanel) {
    const Matrix to = memory.panels.Panel(first);
    CopyRows(scratch.panels.Panel(first).Cols(0, to.cols), to);
  }
}

void Blocks(const Task& task, const DecayTable& decay, const Scratch& scratch) {
  const int64_t tokens = task.out.rows;
  const LightningTask slice = {
      .q = task.inputs.q(), .k = task.inputs.k(), .v = task.inputs.v(), .out = task.out};
  int64_t count = 0;
  for (int64_t first = 0; first < tokens; first += count) {
    const int64_t position = task.position + first;
    const int64_t offset = position % kLightningBlock;
    count = std::min(kLightningBlock - offset, tokens - first);
    const Qkv<float> active = scratch.active.Rows(0, count);
    Activate(task.inputs.all.Rows(first, count), active.all);
    const LightningTask block = {
        .q = active.q(), .k = active.k(), .v = active.v(), .out = task.out.Rows(first, count)};
    const bool whole = offset + count == kLightningBlock;
    const bool goes_on = task.memory != nullptr || first + count < tokens;
    LightningBlock(block, offset, decay,
                   {.read = position >= kLightningBlock, .write = whole && goes_on},
                   {slice, first + count}, scratch.lightning);
  }
}

void Run(const Task& task, const DecayTable& decay, Scratch scratch) {
  const int64_t dim = task.out.cols;
  if (task.memory == nullptr) return Blocks(task, decay, scratch);
  const HeadMemory memory(task.memory, dim);
  LightningScratch& lightning = scratch.lightning;
  if (PadColumns(dim) == dim) {  // the products can work where it lies
    lightning.kt = memory.kt;
    lightning.panels = memory.panels;
    return Blocks(task, decay, scratch);
  }
  CopyIn(memory, lightning);
  Blocks(task, decay, scratch);
  CopyOut(lightning, memory);
}

void LightningAttention(KernelContext& context, ConstMatrix qkv, std::span<const float> decay,
                        const Slices& slices, std::span<float* const> memory, Matrix out) {
  const auto heads = static_cast<int64_t>(decay.size());
  CheckLightning(qkv, heads, slices, memory, out);
  const int64_t dim = out.cols / heads;
  Workspace::Frame frame(context.scratch);
  const std::span<const Slice> longest = LongestFirst(context.scratch, slices);
  const DecayTable* tables = DecayTables(context.scratch, decay);
  const Scratch* scratch =
      AllocatePerThread(context, [&] { return AllocateScratch(context.scratch, dim); });
  const int64_t tasks = static_cast<int64_t>(longest.size()) * heads;
  const int64_t work = qkv.rows * heads * dim * dim / TileLanes();
  ForTasks(context.pool, tasks, work, [&](int64_t index, int worker) {
    const Slice& slice = longest[static_cast<size_t>(index / heads)];
    const int64_t head = index % heads;
    float* kept = memory[static_cast<size_t>(slice.index)];
    Run({.inputs = {qkv.Rows(slice.first, slice.rows).Cols(head * 3 * dim, 3 * dim)},
         .position = slices.position(slice.index),
         .memory = kept == nullptr ? nullptr : kept + head * LightningMemorySize(1, dim),
         .out = out.Rows(slice.first, slice.rows).Cols(head * dim, dim)},
        tables[head], scratch[worker]);
  });
}

void LightningState(KernelContext& context, std::span<const float> decay, int64_t position,
                    const float* memory, Matrix state) {
  const int64_t dim = state.cols;
  const auto heads = static_cast<int64_t>(decay.size());
  FULMEN_CHECK(state.rows == heads * dim, "state is [{}, {}] for {} heads", state.rows, state.cols,
               heads);
  Workspace::Frame frame(context.scratch);
  const DecayTable* tables = DecayTables(context.scratch, decay);
  const LightningScratch* scratch =
      AllocatePerThread(context, [&] { return AllocateLightningScratch(context.scratch, dim); });
  const int64_t tokens = position % kLightningBlock;
  const int64_t size = LightningMemorySize(1, dim);
  ForTasks(context.pool, heads, heads * size, [&](int64_t head, int worker) {
    const LightningScratch& mine = scratch[worker];
    // It reads the memory and changes nothing of it.
    CopyIn(HeadMemory(const_cast<float*>(memory) + head * size, dim), mine);
    FillKeep(tokens, tables[head], mine);
    for (int64_t first = 0; first < dim; first += kStatePanel) {
      FetchNothing nothing;
      EndPanel(tokens, position >= kLightningBlock, first, tables[head], nothing, mine);
      const int64_t columns = std::min(kStatePanel, dim - first);
      CopyRows(mine.panels.State(first).Cols(0, columns),
               state.Rows(head * dim, dim).Cols(first, columns));
    }
  });
}

void Fill(Kernels& kernels) {
  kernels.lightning_attention = LightningAttention;
  kernels.lightning_state = LightningState;
}

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(Fill);

void RegisterLightningAttention(Kernels& kernels) { HWY_DYNAMIC_DISPATCH(Fill)(kernels); }

}  // namespace fulmen::cpu
#endif
