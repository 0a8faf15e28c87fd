#include "kernels/softmax_attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/register.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/softmax_attention.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/cpu/softmax-inl.h"

// Online softmax (Milakov and Gimelshein 2018; Dao et al., "FlashAttention" 2022). The context is
// cut at absolute positions into spans of kSpan, spans into blocks of kKeyBlock. A span starts from
// nothing, and span results are merged in order. So an answer's bits depend neither on the number
// of threads nor on which other queries share the call, whether spans run one after the other
// (prefill) or side by side (decoding in a long context).
HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kSpan = 4 * kKeyBlock;
// Rows, that is queries times the heads that share keys, packed together: enough to pay for packing
// keys, few enough to stay in the second-level cache beside them.
constexpr int64_t kRows = 256;
// Span results that wait to be merged, per thread: bounds memory whatever the context.
constexpr int64_t kWaveTasks = 16;

// Keys are copied this many at a time before they are transposed: reading memory in its own order
// is what the processor's prefetcher sees coming, reading it by columns is not.
constexpr int64_t kStagedKeys = 64;

// Packed operands; one set per thread.
struct Scratch {
  Matrix q;       // [kRows, head_dim], scaled
  Matrix staged;  // [kStagedKeys, head_dim]
  Matrix kt;      // [head_dim, kKeyBlock]
  Matrix v;       // [kKeyBlock, padded head_dim]
  Matrix scores;  // [kProductRows, kKeyBlock]
  Partial span;   // [kRows]
  Partial sum;    // [kRows]
};

Scratch AllocateScratch(Workspace& workspace, int64_t dim, int64_t rows) {
  const int64_t padded = PadColumns(dim);
  return {.q = workspace.AllocateMatrix(rows, dim),
          .staged = workspace.AllocateMatrix(kStagedKeys, dim),
          .kt = workspace.AllocateMatrix(dim, kKeyBlock),
          .v = workspace.AllocateMatrix(kKeyBlock, padded),
          .scores = workspace.AllocateMatrix(kProductRows, kKeyBlock),
          .span = AllocatePartial(workspace, rows, padded),
          .sum = AllocatePartial(workspace, rows, padded)};
}

// The whole call.
struct Problem {
  ConstMatrix queries;
  const KvPages& kv;
  int64_t first_position;
  Matrix out;
  int64_t group;          // heads per KV head
  int64_t block_queries;  // queries packed together

  int64_t dim() const { return kv.head_dim; }
};

// Queries [first, first + count) of all heads of one KV head. Row r is query first + r / group,
// head r % group of the KV head.
struct QueryBlock {
  int64_t kv_head;
  int64_t first;
  int64_t count;

  int64_t rows(const Problem& problem) const { return count * problem.group; }
  // One past the last position any of them sees.
  int64_t end(const Problem& problem) const { return problem.first_position + first + count; }
};

QueryBlock BlockAt(const Problem& problem, int64_t index) {
  const int64_t first = index / problem.kv.kv_heads * problem.block_queries;
  return {.kv_head = index % problem.kv.kv_heads,
          .first = first,
          .count = std::min(problem.block_queries, problem.queries.rows - first)};
}

void PackQueries(const Problem& problem, const QueryBlock& block, Matrix q) {
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(problem.dim())));
  for (int64_t r = 0; r < block.rows(problem); ++r) {
    const int64_t head = block.kv_head * problem.group + r % problem.group;
    const float* from = problem.queries.row(block.first + r / problem.group) + head * problem.dim();
    std::transform(from, from + problem.dim(), q.row(r), [scale](float x) { return x * scale; });
  }
}

// Positions [first, first + count). What lies behind them is not read, and the columns of kt behind
// them hold anything: SoftmaxRow ignores them.
void PackKeysAndValues(const KvPages& kv, int64_t kv_head, int64_t first, int64_t count,
                       Scratch& scratch) {
  const int64_t dim = kv.head_dim;
  int64_t done = 0;
  while (done < count) {
    const int64_t page = (first + done) / kv.page_tokens;
    const int64_t slot = (first + done) % kv.page_tokens;
    const int64_t here = std::min(count - done, kv.page_tokens - slot);
    const ConstMatrix keys(kv.Keys(page, kv_head) + slot * dim, here, dim);
    const ConstMatrix values(kv.Values(page, kv_head) + slot * dim, here, dim);
    CopyPadded(values, scratch.v.Rows(done, here));
    for (int64_t r = 0; r < here; r += kStagedKeys) {
      const int64_t rows = std::min(kStagedKeys, here - r);
      std::copy_n(keys.row(r), rows * dim, scratch.staged.data);
      Transpose(scratch.staged.Rows(0, rows), scratch.kt.Cols(done + r, rows));
    }
    done += here;
  }
}

// Every row over positions [first, end), a span or its visible part; written to `partial`.
HWY_NOINLINE void Span(const Problem& problem, const QueryBlock& block, int64_t first, int64_t end,
                       Scratch& scratch, const Partial& partial) {
  const int64_t rows = block.rows(problem);
  Clear(partial);
  for (int64_t start = first; start < end; start += kKeyBlock) {
    const int64_t count = std::min(kKeyBlock, end - start);
    PackKeysAndValues(problem.kv, block.kv_head, start, count, scratch);
    for (int64_t r = 0; r < rows; r += kProductRows) {
      const int64_t tile = std::min(kProductRows, rows - r);
      // Positions of this block that query `row` sees, and that the tile's last row sees.
      const auto visible = [&](int64_t row) {
        const int64_t position = problem.first_position + block.first + row / problem.group;
        return std::clamp<int64_t>(position + 1 - start, 0, count);
      };
      const int64_t depth = visible(r + tile - 1);
      if (depth == 0) continue;
      const Matrix scores = scratch.scores.Rows(0, tile).Cols(0, PadColumns(depth));
      Product(problem.dim(), scratch.q.Rows(r, tile), scratch.kt, nullptr, scores);
      float keep[kProductRows];
      for (int64_t i = 0; i < tile; ++i) {
        keep[i] = SoftmaxRow(scores.cols, visible(r + i), scores.row(i), partial.largest[r + i],
                             partial.total[r + i]);
      }
      Product(depth, scores, scratch.v, keep, partial.values.Rows(r, tile));
    }
  }
}

// sum <- sum merged with the result of the span that follows it.
HWY_NOINLINE void Merge(const Partial& span, const Partial& sum) {
  const Floats d;
  for (int64_t r = 0; r < sum.values.rows; ++r) {
    const float largest = std::max(sum.largest[r], span.largest[r]);
    const float old_factor = std::exp(sum.largest[r] - largest);
    const float new_factor = std::exp(span.largest[r] - largest);
    sum.largest[r] = largest;
    sum.total[r] = sum.total[r] * old_factor + span.total[r] * new_factor;
    float* HWY_RESTRICT to = sum.values.row(r);
    const float* HWY_RESTRICT from = span.values.row(r);
    for (int64_t c = 0; c < sum.values.cols; c += TileLanes()) {
      const FloatsV old = hn::Mul(hn::Set(d, old_factor), hn::LoadU(d, to + c));
      hn::StoreU(hn::MulAdd(hn::Set(d, new_factor), hn::LoadU(d, from + c), old), d, to + c);
    }
  }
}

void WriteOut(const Problem& problem, const QueryBlock& block, const Partial& sum) {
  for (int64_t r = 0; r < block.rows(problem); ++r) {
    const int64_t head = block.kv_head * problem.group + r % problem.group;
    float* to = problem.out.row(block.first + r / problem.group) + head * problem.dim();
    const float* from = sum.values.row(r);
    const float total = sum.total[r];
    std::transform(from, from + problem.dim(), to, [total](float x) { return x / total; });
  }
}

// One task per query block: spans one after the other.
void RunBlocks(KernelContext& context, const Problem& problem, int64_t blocks, int64_t work,
               Scratch* scratch) {
  ForTasks(context.pool, blocks, work, [&](int64_t index, int worker) {
    // The last block sees most and takes longest: it goes first.
    const QueryBlock block = BlockAt(problem, blocks - 1 - index);
    Scratch& mine = scratch[worker];
    const Partial span = mine.span.Rows(0, block.rows(problem));
    const Partial sum = mine.sum.Rows(0, block.rows(problem));
    PackQueries(problem, block, mine.q);
    Clear(sum);
    const int64_t end = block.end(problem);
    for (int64_t first = 0; first < end; first += kSpan) {
      Span(problem, block, first, std::min(end, first + kSpan), mine, span);
      Merge(span, sum);
    }
    WriteOut(problem, block, sum);
  });
}

// One task per query block and span, wave by wave: few queries, long context.
void RunSpans(KernelContext& context, const Problem& problem, int64_t blocks, int64_t work,
              Scratch* scratch) {
  const int64_t rows = problem.block_queries * problem.group;
  const int64_t padded = PadColumns(problem.dim());
  const int64_t end = problem.first_position + problem.queries.rows;
  const int64_t spans = (end + kSpan - 1) / kSpan;
  const int64_t wave = std::clamp<int64_t>(kWaveTasks * context.pool.size() / blocks, 1, spans);
  const Partial partials = AllocatePartial(context.scratch, blocks * wave * rows, padded);
  const Partial sums = AllocatePartial(context.scratch, blocks * rows, padded);
  Clear(sums);
  for (int64_t base = 0; base < spans; base += wave) {
    const int64_t count = std::min(wave, spans - base);
    ForTasks(context.pool, blocks * count, work, [&](int64_t index, int worker) {
      const QueryBlock block = BlockAt(problem, index / count);
      const int64_t first = (base + index % count) * kSpan;
      const Partial partial = partials.Rows(index * rows, block.rows(problem));
      PackQueries(problem, block, scratch[worker].q);
      Span(problem, block, first, std::min(block.end(problem), first + kSpan), scratch[worker],
           partial);
    });
    ForTasks(context.pool, blocks, blocks * count * rows * padded / TileLanes(),
             [&](int64_t index, int) {
               const int64_t used = BlockAt(problem, index).rows(problem);
               for (int64_t i = 0; i < count; ++i) {
                 Merge(partials.Rows((index * count + i) * rows, used),
                       sums.Rows(index * rows, used));
               }
             });
  }
  for (int64_t index = 0; index < blocks; ++index) {
    WriteOut(problem, BlockAt(problem, index), sums.Rows(index * rows, rows));
  }
}

void SoftmaxAttention(KernelContext& context, ConstMatrix queries, const KvPages& kv,
                      int64_t first_position, Matrix out) {
  const int64_t heads = queries.cols / kv.head_dim;
  const int64_t end = first_position + queries.rows;
  FULMEN_CHECK(queries.cols == heads * kv.head_dim && heads % kv.kv_heads == 0 &&
                   out.cols == queries.cols && out.rows == queries.rows,
               "queries are [{}, {}], out [{}, {}] for {} KV heads of {}", queries.rows,
               queries.cols, out.rows, out.cols, kv.kv_heads, kv.head_dim);
  FULMEN_CHECK(end <= static_cast<int64_t>(kv.pages.size()) * kv.page_tokens,
               "{} queries from position {} over {} pages of {}", queries.rows, first_position,
               kv.pages.size(), kv.page_tokens);
  if (queries.rows == 0) return;
  const int64_t group = heads / kv.kv_heads;
  const Problem problem = {
      .queries = queries,
      .kv = kv,
      .first_position = first_position,
      .out = out,
      .group = group,
      .block_queries = std::min(queries.rows, std::max<int64_t>(1, kRows / group))};
  const int64_t blocks =
      kv.kv_heads * ((queries.rows + problem.block_queries - 1) / problem.block_queries);
  const int64_t threads = context.pool.size();

  Workspace::Frame frame(context.scratch);
  Scratch* scratch = AllocatePerThread(context, [&] {
    return AllocateScratch(context.scratch, kv.head_dim, problem.block_queries * group);
  });
  const int64_t work = queries.rows * heads * kv.head_dim * end / TileLanes();
  // Enough blocks to keep every thread busy to the end, or too few positions to share out.
  if (threads == 1 || blocks >= 4 * threads || end <= kSpan) {
    RunBlocks(context, problem, blocks, work, scratch);
  } else {
    RunSpans(context, problem, blocks, work, scratch);
  }
}

void Fill(Kernels& kernels) { kernels.softmax_attention = SoftmaxAttention; }

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(Fill);

void RegisterSoftmaxAttention(Kernels& kernels) { HWY_DYNAMIC_DISPATCH(Fill)(kernels); }

}  // namespace fulmen::cpu
#endif
