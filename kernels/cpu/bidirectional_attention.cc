#include <algorithm>
#include <cmath>

#include "kernels/cpu/longest_first.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/register.h"
#include "kernels/softmax_attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/bidirectional_attention.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/cpu/softmax-inl.h"

// Online softmax, as softmax_attention.cc has it, but all queries of a slice see the same keys and
// nothing is kept: a task is some queries of one head, which keys pass by block after block.
HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// Keys packed at a time: those of a tile of an image, which has 577, at once, for the maximum and
// the sum of a row cost little more over all its keys than over some. With their values they stay
// in the L2 cache, the scores of a few rows in the L1 cache.
constexpr int64_t kKeys = 640;
// Queries of a task: the more, the less packing of keys, but every thread should have some.
constexpr int64_t kMostQueries = 640;
constexpr int64_t kFewestQueries = 128;

// Some queries of one head of a slice.
struct QueryTask {
  Slice slice;
  int64_t head;
  int64_t first;  // row of the batch
  int64_t count;
};

// Whole tiles of queries, about as many in each task of a slice. Threads decide how many, which
// changes no bit: queries know nothing of each other.
std::span<const QueryTask> CutIntoTasks(Workspace& workspace, std::span<const Slice> slices,
                                        int64_t rows, int64_t heads, int threads) {
  const int64_t most =
      std::clamp(rows * heads / (int64_t{4} * threads), kFewestQueries, kMostQueries);
  const auto cuts = [most](const Slice& slice) { return (slice.rows + most - 1) / most; };
  int64_t bound = 0;
  for (const Slice& slice : slices) bound += cuts(slice) * heads;
  auto* tasks = workspace.Allocate<QueryTask>(bound);
  int64_t count = 0;
  for (const Slice& slice : slices) {
    const int64_t share = (slice.rows + cuts(slice) - 1) / cuts(slice);
    const int64_t step = (share + kProductRows - 1) / kProductRows * kProductRows;
    for (int64_t head = 0; head < heads; ++head) {
      for (int64_t at = 0; at < slice.rows; at += step) {
        tasks[count++] = {slice, head, slice.first + at, std::min(step, slice.rows - at)};
      }
    }
  }
  return {tasks, static_cast<size_t>(count)};
}

// Packed operands; one set per thread.
struct Scratch {
  Matrix q;       // [queries, head_dim], scaled
  Matrix keys;    // [head_dim, kKeys]
  Matrix values;  // [kKeys, padded head_dim]
  Matrix scores;  // [kProductRows, kKeys]
  Partial sum;    // [queries]
};

Scratch AllocateScratch(Workspace& workspace, int64_t dim) {
  constexpr int64_t kRows = kMostQueries + kProductRows;
  const int64_t padded = PadColumns(dim);
  return {.q = workspace.AllocateMatrix(kRows, dim),
          .keys = workspace.AllocateMatrix(dim, kKeys),
          .values = workspace.AllocateMatrix(kKeys, padded),
          .scores = workspace.AllocateMatrix(kProductRows, kKeys),
          .sum = AllocatePartial(workspace, kRows, padded)};
}

// The queries of a task meet `count` keys, which are packed.
void AttendBlock(int64_t count, const Scratch& scratch, const Partial& sum) {
  const int64_t dim = scratch.q.cols;
  for (int64_t r = 0; r < sum.values.rows; r += kProductRows) {
    const int64_t tile = std::min(kProductRows, sum.values.rows - r);
    const Matrix scores = scratch.scores.Rows(0, tile).Cols(0, PadColumns(count));
    Product(dim, scratch.q.Rows(r, tile), scratch.keys, nullptr, scores);
    float keep[kProductRows];
    for (int64_t i = 0; i < tile; ++i) {
      keep[i] = SoftmaxRow(scores.cols, count, scores.row(i), sum.largest[r + i], sum.total[r + i]);
    }
    Product(count, scores, scratch.values, keep, sum.values.Rows(r, tile));
  }
}

void Attend(const PackedAttention& attention, const QueryTask& task, const Scratch& scratch,
            Matrix out, Matrix log_sums) {
  const Partial sum = scratch.sum.Rows(0, task.count);
  CopyScaled(Head(attention, attention.queries.Rows(task.first, task.count), task.head),
             ScoreScale(attention), scratch.q);
  Clear(sum);
  const int64_t kv_head = task.head / Group(attention);
  for (int64_t at = 0; at < task.slice.rows; at += kKeys) {
    const int64_t count = std::min(kKeys, task.slice.rows - at);
    const int64_t row = task.slice.first + at;
    Transpose(Head(attention, attention.keys.Rows(row, count), kv_head), scratch.keys);
    CopyPadded(Head(attention, attention.values.Rows(row, count), kv_head), scratch.values);
    AttendBlock(count, scratch, sum);
  }
  const Matrix to = Head(attention, out.Rows(task.first, task.count), task.head);
  for (int64_t r = 0; r < task.count; ++r) {
    ScaleRow(to.cols, 1.0F / sum.total[r], sum.values.row(r), to.row(r));
    if (log_sums.data == nullptr) continue;
    log_sums.row(task.first + r)[task.head] = sum.largest[r] + std::log(sum.total[r]);
  }
}

void BidirectionalAttention(KernelContext& context, const PackedAttention& attention, Matrix out,
                            Matrix log_sums) {
  CheckPacked(attention, out, log_sums);
  Workspace& workspace = context.scratch;
  const Workspace::Frame frame(workspace);
  const std::span<const Slice> slices =
      LongestFirst(workspace, {.starts = attention.starts, .positions = {}});
  const std::span<const QueryTask> tasks =
      CutIntoTasks(workspace, slices, out.rows, Heads(attention), context.pool.size());
  const Scratch* scratch =
      AllocatePerThread(context, [&] { return AllocateScratch(workspace, attention.head_dim); });
  int64_t pairs = 0;
  for (const Slice& slice : slices) pairs += slice.rows * slice.rows;
  const int64_t work = 2 * pairs * out.cols / TileLanes();
  ForTasks(context.pool, std::ssize(tasks), work, [&](int64_t index, int worker) {
    Attend(attention, tasks[static_cast<size_t>(index)], scratch[worker], out, log_sums);
  });
}

void Fill(Kernels& kernels) { kernels.bidirectional_attention = BidirectionalAttention; }

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(Fill);

void RegisterBidirectionalAttention(Kernels& kernels) { HWY_DYNAMIC_DISPATCH(Fill)(kernels); }

}  // namespace fulmen::cpu
#endif
