#include "kernels/softmax_attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/packing.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/register_training.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/softmax_attention_packed.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/cpu/softmax-inl.h"

// Dao, "FlashAttention-2" (2023), algorithm 1: one task is the heads of one KV head over a block of
// queries.
HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// Rows, that is queries times the heads that share keys: enough to pay for packing keys.
constexpr int64_t kRows = 256;

// Queries [first, first + count) of a document, of all heads of one KV head.
struct QueryTask {
  Document document;
  int64_t kv_head;
  int64_t first;
  int64_t count;
};

struct ForwardScratch {
  Matrix q;       // [count, padded head_dim], scaled, for each head
  Matrix kt;      // [head_dim, kKeyBlock]
  Matrix v;       // [kKeyBlock, padded head_dim]
  Matrix scores;  // [kProductRows, kKeyBlock]
  Partial sum;    // rows as q
};

ForwardScratch AllocateForwardScratch(Workspace& workspace, int64_t dim, int64_t rows) {
  const int64_t padded = PadColumns(dim);
  return {.q = workspace.AllocateMatrix(rows, padded),
          .kt = workspace.AllocateMatrix(dim, kKeyBlock),
          .v = workspace.AllocateMatrix(kKeyBlock, padded),
          .scores = workspace.AllocateMatrix(kProductRows, kKeyBlock),
          .sum = AllocatePartial(workspace, rows, padded)};
}

// Rows of one head over the keys [start, start + keys) that lie packed.
void ForwardRows(const QueryTask& task, int64_t start, int64_t keys, ConstMatrix q,
                 const Partial& sum, const ForwardScratch& scratch) {
  const int64_t dim = scratch.kt.rows;
  for (int64_t r = 0; r < task.count; r += kProductRows) {
    const int64_t tile = std::min(kProductRows, task.count - r);
    // Keys of this block that a row sees.
    const auto visible = [&](int64_t row) {
      return std::clamp<int64_t>(task.first + row + 1 - start, 0, keys);
    };
    const int64_t depth = visible(r + tile - 1);
    if (depth == 0) continue;
    const Matrix scores = scratch.scores.Rows(0, tile).Cols(0, PadColumns(depth));
    Product(dim, q.Rows(r, tile), scratch.kt, nullptr, scores);
    float keep[kProductRows];
    for (int64_t i = 0; i < tile; ++i) {
      keep[i] = SoftmaxRow(scores.cols, visible(r + i), scores.row(i), sum.largest[r + i],
                           sum.total[r + i]);
    }
    Product(depth, scores, scratch.v, keep, sum.values.Rows(r, tile));
  }
}

void Forward(const PackedAttention& attention, const QueryTask& task, const ForwardScratch& scratch,
             Matrix out, Matrix log_sums) {
  const int64_t group = Group(attention);
  const int64_t row = task.document.first + task.first;
  for (int64_t g = 0; g < group; ++g) {
    CopyScaled(Head(attention, attention.queries.Rows(row, task.count), task.kv_head * group + g),
               ScoreScale(attention), scratch.q.Rows(g * task.count, task.count));
  }
  Clear(scratch.sum.Rows(0, group * task.count));
  const int64_t end = task.first + task.count;
  for (int64_t start = 0; start < end; start += kKeyBlock) {
    const int64_t keys = std::min(kKeyBlock, end - start);
    const int64_t at = task.document.first + start;
    Transpose(Head(attention, attention.keys.Rows(at, keys), task.kv_head), scratch.kt);
    CopyPadded(Head(attention, attention.values.Rows(at, keys), task.kv_head), scratch.v);
    for (int64_t g = 0; g < group; ++g) {
      ForwardRows(task, start, keys, scratch.q.Rows(g * task.count, task.count),
                  scratch.sum.Rows(g * task.count, task.count), scratch);
    }
  }
  for (int64_t g = 0; g < group; ++g) {
    const int64_t head = task.kv_head * group + g;
    for (int64_t i = 0; i < task.count; ++i) {
      const int64_t r = g * task.count + i;
      const float total = scratch.sum.total[r];
      const float* from = scratch.sum.values.row(r);
      std::transform(from, from + attention.head_dim, Head(attention, out, head).row(row + i),
                     [total](float x) { return x / total; });
      log_sums.row(row + i)[head] = scratch.sum.largest[r] + std::log(total);
    }
  }
}

void SoftmaxAttentionPacked(KernelContext& context, const PackedAttention& attention, Matrix out,
                            Matrix log_sums) {
  CheckShapes(attention, out, log_sums);
  Workspace& workspace = context.scratch;
  Workspace::Frame frame(workspace);
  const std::span<const Document> documents =
      LongestFirst(workspace, attention.starts, attention.queries.rows);
  const int64_t kv_heads = KvHeads(attention);
  const int64_t fitting = std::max<int64_t>(1, kRows / Group(attention));
  const int64_t block = fitting < kProductRows ? fitting : fitting / kProductRows * kProductRows;
  int64_t count = 0;
  for (const Document& document : documents) {
    count += (document.tokens + block - 1) / block * kv_heads;
  }
  QueryTask* tasks = workspace.Allocate<QueryTask>(count);
  QueryTask* next = tasks;
  for (const Document& document : documents) {
    // The last block sees most and takes longest: it goes first.
    for (int64_t b = (document.tokens - 1) / block; b >= 0; --b) {
      for (int64_t head = 0; head < kv_heads; ++head) {
        *next++ = {.document = document,
                   .kv_head = head,
                   .first = b * block,
                   .count = std::min(block, document.tokens - b * block)};
      }
    }
  }
  const ForwardScratch* scratch = AllocatePerThread(context, [&] {
    return AllocateForwardScratch(workspace, attention.head_dim, block * Group(attention));
  });
  const int64_t work = 2 * SeenPairs(documents) * attention.queries.cols / TileLanes();
  ForTasks(context.pool, count, work, [&](int64_t index, int worker) {
    Forward(attention, tasks[index], scratch[worker], out, log_sums);
  });
}

void Fill(TrainingKernels& kernels) { kernels.softmax_attention_packed = SoftmaxAttentionPacked; }

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(Fill);

void RegisterSoftmaxAttentionPacked(TrainingKernels& kernels) {
  HWY_DYNAMIC_DISPATCH(Fill)(kernels);
}

}  // namespace fulmen::cpu
#endif
