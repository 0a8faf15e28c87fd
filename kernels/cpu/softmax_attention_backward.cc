#include "kernels/softmax_attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/longest_first.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/register_training.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/softmax_attention_backward.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/cpu/softmax-inl.h"

// Dao, "FlashAttention-2" (2023), algorithm 2, causal or not. One task is the heads of one KV head
// over a range of keys, whose gradients it owns; key blocks outside, query blocks inside, five
// products each. What it adds to the gradients of queries is kept apart and summed over the ranges
// at the end, so that bits do not depend on threads. A document has four ranges at most: memory is
// about three times the queries, 300 MB for 65,536 tokens and 6 heads of 64, or four times where
// all see all.
HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// A document has a range of keys for each so many tokens.
constexpr int64_t kRangeTokens = 512;
constexpr int64_t kMaxRanges = 4;

// The row of one query over `visible` keys: scores become dscores p (dp - delta), where p =
// exp(score - log_sum); both are 0 from there on.
void GradientRow(int64_t columns, int64_t visible, float log_sum, float delta,
                 float* HWY_RESTRICT scores, float* HWY_RESTRICT dscores) {
  const Floats d;
  const FloatsV log_sums = hn::Set(d, log_sum);
  const FloatsV deltas = hn::Set(d, delta);
  const int64_t lanes = TileLanes();
  for (int64_t j = 0; j < columns; j += lanes) {
    FloatsV p = Exp(d, hn::Sub(hn::LoadU(d, scores + j), log_sums));
    FloatsV dscore = hn::Mul(p, hn::Sub(hn::LoadU(d, dscores + j), deltas));
    if (j + lanes > visible) {
      const auto seen =
          hn::Lt(hn::Iota(d, static_cast<float>(j)), hn::Set(d, static_cast<float>(visible)));
      p = hn::IfThenElseZero(seen, p);
      dscore = hn::IfThenElseZero(seen, dscore);
    }
    hn::StoreU(p, d, scores + j);
    hn::StoreU(dscore, d, dscores + j);
  }
}

// sum_i a_i b_i
float Dot(int64_t count, const float* a, const float* b) {
  const Floats d;
  const int64_t lanes = TileLanes();
  FloatsV sums = hn::Zero(d);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    sums = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), sums);
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, sums));
  for (; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

// Keys [first, end) of a document and one KV head, with what they add to the gradients of queries.
struct KeyTask {
  Slice document;
  int64_t kv_head;
  int64_t first;
  int64_t end;
  bool causal;
  Matrix dqueries;  // [group * rows(), padded head_dim]: queries that see `first`, head after head

  // The first query that sees a key.
  int64_t FirstQuery(int64_t key) const { return causal ? key : 0; }
  int64_t rows() const { return document.rows - FirstQuery(first); }
};

struct Gradients {
  ConstMatrix log_sums;
  ConstMatrix deltas;  // [T, heads]: sum of out * dout
  ConstMatrix dout;
  Matrix dkeys;
  Matrix dvalues;
};

struct BackwardScratch {
  Matrix kt, vt;           // [head_dim, kKeyBlock]
  Matrix k;                // [kKeyBlock, padded head_dim]
  Matrix dk, dv;           // [kKeyBlock, padded head_dim]: sums
  Matrix q, dout;          // [kKeyBlock, padded head_dim], q scaled
  Matrix scores, dscores;  // [kKeyBlock, kKeyBlock]
  float* ones;             // [kKeyBlock]
};

BackwardScratch AllocateBackwardScratch(Workspace& workspace, int64_t dim) {
  const int64_t padded = PadColumns(dim);
  const auto block = [&] { return workspace.AllocateMatrix(kKeyBlock, padded); };
  BackwardScratch scratch = {.kt = workspace.AllocateMatrix(dim, kKeyBlock),
                             .vt = workspace.AllocateMatrix(dim, kKeyBlock),
                             .k = block(),
                             .dk = block(),
                             .dv = block(),
                             .q = block(),
                             .dout = block(),
                             .scores = workspace.AllocateMatrix(kKeyBlock, kKeyBlock),
                             .dscores = workspace.AllocateMatrix(kKeyBlock, kKeyBlock),
                             .ones = workspace.Allocate<float>(kKeyBlock)};
  std::fill_n(scratch.ones, kKeyBlock, 1.0F);
  return scratch;
}

// One block of keys and one of queries of one head; positions within the document.
struct BlockPair {
  int64_t keys;
  int64_t queries_first, queries;
  int64_t head;
  bool diagonal;     // queries do not see the keys behind their own
  bool new_keys;     // nothing has been added to dk and dv
  bool new_queries;  // nor to dqueries
};

// The transposed products: `to` += weights^T b, of which keys see no earlier query.
void AddToKeys(const BlockPair& pair, ConstMatrix weights, ConstMatrix b, const float* scale,
               Matrix to) {
  if (!pair.diagonal) {
    Product<true>(pair.queries, weights, b, scale, to.Rows(0, pair.keys));
    return;
  }
  for (int64_t j = 0; j < pair.keys; j += kProductRows) {
    const int64_t rows = std::min(kProductRows, pair.keys - j);
    Product<true>(pair.queries - j, weights.Rows(j, pair.queries - j).Cols(j, rows),
                  b.Rows(j, pair.queries - j), scale, to.Rows(j, rows));
  }
}

void BackwardPair(const PackedAttention& attention, const KeyTask& task, const Gradients& gradients,
                  const BlockPair& pair, const BackwardScratch& scratch) {
  const int64_t dim = attention.head_dim;
  const int64_t row = task.document.first + pair.queries_first;
  CopyScaled(Head(attention, attention.queries.Rows(row, pair.queries), pair.head),
             ScoreScale(attention), scratch.q);
  CopyPadded(Head(attention, gradients.dout.Rows(row, pair.queries), pair.head), scratch.dout);
  const int64_t group_head = pair.head % Group(attention);
  const Matrix dqueries = task.dqueries.Rows(
      group_head * task.rows() + pair.queries_first - task.FirstQuery(task.first), pair.queries);
  const int64_t width = PadColumns(pair.keys);
  for (int64_t r = 0; r < pair.queries; r += kProductRows) {
    const int64_t tile = std::min(kProductRows, pair.queries - r);
    const int64_t depth = pair.diagonal ? std::min(pair.keys, r + tile) : pair.keys;
    const Matrix scores = scratch.scores.Rows(r, tile).Cols(0, PadColumns(depth));
    const Matrix dscores = scratch.dscores.Rows(r, tile).Cols(0, scores.cols);
    Product(dim, scratch.q.Rows(r, tile), scratch.kt, nullptr, scores);
    Product(dim, scratch.dout.Rows(r, tile), scratch.vt, nullptr, dscores);
    for (int64_t i = 0; i < tile; ++i) {
      const int64_t visible = pair.diagonal ? std::min(pair.keys, r + i + 1) : pair.keys;
      GradientRow(scores.cols, visible, gradients.log_sums.row(row + r + i)[pair.head],
                  gradients.deltas.row(row + r + i)[pair.head], scores.row(i), dscores.row(i));
      std::fill(scores.row(i) + scores.cols, scores.row(i) + width, 0.0F);
      std::fill(dscores.row(i) + scores.cols, dscores.row(i) + width, 0.0F);
    }
    Product(depth, dscores, scratch.k, pair.new_queries ? nullptr : scratch.ones,
            dqueries.Rows(r, tile));
  }
  const float* scale = pair.new_keys ? nullptr : scratch.ones;
  AddToKeys(pair, scratch.scores, scratch.dout, scale, scratch.dv);
  AddToKeys(pair, scratch.dscores, scratch.q, scale, scratch.dk);
}

void Backward(const PackedAttention& attention, const KeyTask& task, const Gradients& gradients,
              const BackwardScratch& scratch) {
  const int64_t group = Group(attention);
  for (int64_t start = task.first; start < task.end; start += kKeyBlock) {
    const int64_t keys = std::min(kKeyBlock, task.end - start);
    const int64_t at = task.document.first + start;
    const ConstMatrix k = Head(attention, attention.keys.Rows(at, keys), task.kv_head);
    Transpose(k, scratch.kt);
    CopyPadded(k, scratch.k);
    Transpose(Head(attention, attention.values.Rows(at, keys), task.kv_head), scratch.vt);
    for (int64_t g = 0; g < group; ++g) {
      const int64_t begin = task.FirstQuery(start);
      for (int64_t first = begin; first < task.document.rows; first += kKeyBlock) {
        const BlockPair pair = {.keys = keys,
                                .queries_first = first,
                                .queries = std::min(kKeyBlock, task.document.rows - first),
                                .head = task.kv_head * group + g,
                                .diagonal = task.causal && first == start,
                                .new_keys = g == 0 && first == begin,
                                .new_queries = start == task.first};
        BackwardPair(attention, task, gradients, pair, scratch);
      }
    }
    for (int64_t j = 0; j < keys; ++j) {
      std::copy_n(scratch.dk.row(j), attention.head_dim,
                  Head(attention, gradients.dkeys, task.kv_head).row(at + j));
      std::copy_n(scratch.dv.row(j), attention.head_dim,
                  Head(attention, gradients.dvalues, task.kv_head).row(at + j));
    }
  }
}

// The ranges of one document and KV head.
struct Ranges {
  int64_t first_task;
  int64_t count;
};

// Cuts the keys of a document so that each range sees about as many pairs: if causal, the first
// keys are seen by most queries.
int64_t RangeStart(int64_t tokens, int64_t range, int64_t ranges, bool causal) {
  if (range == ranges) return tokens;
  const double left = 1.0 - static_cast<double>(range) / static_cast<double>(ranges);
  const double start = static_cast<double>(tokens) * (1.0 - (causal ? std::sqrt(left) : left));
  return std::llround(start / static_cast<double>(kKeyBlock)) * kKeyBlock;
}

struct KeyTasks {
  std::span<const KeyTask> tasks;
  std::span<const Ranges> ranges;  // document after document, KV heads inside
};

KeyTasks MakeKeyTasks(Workspace& workspace, const PackedAttention& attention,
                      std::span<const Slice> documents, bool causal) {
  const int64_t kv_heads = KvHeads(attention);
  const int64_t pairs = static_cast<int64_t>(documents.size()) * kv_heads;
  KeyTask* tasks = workspace.Allocate<KeyTask>(pairs * kMaxRanges);
  Ranges* ranges = workspace.Allocate<Ranges>(pairs);
  int64_t count = 0;
  for (int64_t pair = 0; pair < pairs; ++pair) {
    const Slice document = documents[static_cast<size_t>(pair / kv_heads)];
    const int64_t cuts = std::clamp<int64_t>(document.rows / kRangeTokens, 1, kMaxRanges);
    ranges[pair] = {.first_task = count, .count = cuts};
    for (int64_t range = 0; range < cuts; ++range) {
      KeyTask& task = tasks[count++];
      task = {.document = document,
              .kv_head = pair % kv_heads,
              .first = RangeStart(document.rows, range, cuts, causal),
              .end = RangeStart(document.rows, range + 1, cuts, causal),
              .causal = causal,
              .dqueries = {}};
      task.dqueries =
          workspace.AllocateMatrix(Group(attention) * task.rows(), PadColumns(attention.head_dim));
    }
  }
  return {{tasks, static_cast<size_t>(count)}, {ranges, static_cast<size_t>(pairs)}};
}

// Sums what the ranges of one document found for the queries of one head.
void WriteQueryGradients(const PackedAttention& attention, std::span<const KeyTask> ranges,
                         int64_t group_head, Matrix dqueries) {
  const float scale = ScoreScale(attention);
  const KeyTask& all = ranges.front();
  const int64_t dim = attention.head_dim;
  const Matrix out = Head(attention, dqueries, all.kv_head * Group(attention) + group_head);
  for (int64_t t = 0; t < all.rows(); ++t) {
    float* HWY_RESTRICT sum = all.dqueries.row(group_head * all.rows() + t);
    for (const KeyTask& range : ranges.subspan(1)) {
      const int64_t query = t - range.FirstQuery(range.first);
      if (query < 0) break;
      const float* HWY_RESTRICT add = range.dqueries.row(group_head * range.rows() + query);
      for (int64_t i = 0; i < dim; ++i) sum[i] += add[i];
    }
    std::transform(sum, sum + dim, out.row(all.document.first + t),
                   [scale](float x) { return x * scale; });
  }
}

// Pairs of a query and a key it sees.
int64_t SeenPairs(std::span<const Slice> documents, bool causal) {
  int64_t pairs = 0;
  for (const Slice& document : documents) {
    pairs += document.rows * (causal ? (document.rows + 1) / 2 : document.rows);
  }
  return pairs;
}

template <bool kCausal>
void AttentionBackward(KernelContext& context, const PackedAttention& attention, ConstMatrix out,
                       ConstMatrix log_sums, ConstMatrix dout, Matrix dqueries, Matrix dkeys,
                       Matrix dvalues) {
  CheckPacked(attention, out, log_sums);
  CheckPacked({.queries = dqueries,
               .keys = dkeys,
               .values = dvalues,
               .head_dim = attention.head_dim,
               .starts = attention.starts},
              dout, log_sums);
  Workspace& workspace = context.scratch;
  Workspace::Frame frame(workspace);
  const std::span<const Slice> documents =
      LongestFirst(workspace, {.starts = attention.starts, .positions = {}});
  const int64_t heads = Heads(attention);
  const int64_t group = Group(attention);
  const int64_t rows = out.rows;
  const Matrix deltas = workspace.AllocateMatrix(rows, heads);
  ForTasks(context.pool, (rows + kKeyBlock - 1) / kKeyBlock, rows * out.cols / TileLanes(),
           [&](int64_t index, int) {
             const int64_t end = std::min(rows, (index + 1) * kKeyBlock);
             for (int64_t t = index * kKeyBlock; t < end; ++t) {
               for (int64_t h = 0; h < heads; ++h) {
                 deltas.row(t)[h] = Dot(attention.head_dim, Head(attention, out, h).row(t),
                                        Head(attention, dout, h).row(t));
               }
             }
           });
  const KeyTasks keys = MakeKeyTasks(workspace, attention, documents, kCausal);
  const BackwardScratch* scratch = AllocatePerThread(
      context, [&] { return AllocateBackwardScratch(workspace, attention.head_dim); });
  const Gradients gradients = {
      .log_sums = log_sums, .deltas = deltas, .dout = dout, .dkeys = dkeys, .dvalues = dvalues};
  const int64_t work = 5 * SeenPairs(documents, kCausal) * out.cols / TileLanes();
  ForTasks(
      context.pool, static_cast<int64_t>(keys.tasks.size()), work, [&](int64_t index, int worker) {
        Backward(attention, keys.tasks[static_cast<size_t>(index)], gradients, scratch[worker]);
      });
  ForTasks(context.pool, static_cast<int64_t>(keys.ranges.size()) * group,
           2 * rows * out.cols / TileLanes(), [&](int64_t index, int) {
             const Ranges range = keys.ranges[static_cast<size_t>(index / group)];
             WriteQueryGradients(attention,
                                 keys.tasks.subspan(static_cast<size_t>(range.first_task),
                                                    static_cast<size_t>(range.count)),
                                 index % group, dqueries);
           });
}

void Fill(TrainingKernels& kernels) {
  kernels.softmax_attention_backward = AttentionBackward</*kCausal=*/true>;
  kernels.bidirectional_attention_backward = AttentionBackward</*kCausal=*/false>;
}

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(Fill);

void RegisterSoftmaxAttentionBackward(TrainingKernels& kernels) {
  HWY_DYNAMIC_DISPATCH(Fill)(kernels);
}

}  // namespace fulmen::cpu
#endif
