#include "kernels/softmax_attention.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/register.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/softmax_attention.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h:
#include "hwy/highway.h"
#include "kernels/cpu/kv-inl.h"
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
// Spans of a task: memory that a thread reads on end.
constexpr int64_t kRun = 4;
// Tasks whose results wait to be merged, per thread: bounds memory whatever the context.
constexpr int64_t kWaveTasks = 8;

constexpr int64_t kTilesPerBlock = kKeyBlock / kKvTile;
constexpr int64_t kFewRows = 2 * kProductRows;

// Packed operands; one set per thread.
struct Scratch {
  Matrix q;       // [kRows, head_dim], scaled
  Matrix keys;    // [kTilesPerBlock * head_dim, kKvTile]
  Matrix values;  // [kKeyBlock, padded head_dim]
  Matrix scores;  // [kFewRows, kKeyBlock]
  Partial span;   // [kRows]
  Partial sum;    // [kRows]
};

Scratch AllocateScratch(Workspace& workspace, int64_t dim, int64_t rows) {
  const int64_t padded = PadColumns(dim);
  return {.q = workspace.AllocateMatrix(rows, dim),
          .keys = workspace.AllocateMatrix(kTilesPerBlock * dim, kKvTile),
          .values = workspace.AllocateMatrix(kKeyBlock, padded),
          .scores = workspace.AllocateMatrix(kFewRows, kKeyBlock),
          .span = AllocatePartial(workspace, rows, padded),
          .sum = AllocatePartial(workspace, rows, padded)};
}

// The whole call.
struct Problem {
  ConstMatrix queries;
  const KvCache& cache;
  const Slices& slices;
  Matrix out;
  Matrix log_sums;        // may be empty
  int64_t group;          // heads per KV head
  int64_t block_queries;  // queries packed together, at most

  int64_t dim() const { return cache.format.head_dim; }
};

// Some queries of one slice, of all heads of one KV head. Row r is query first + r / group, head r
// % group of the KV head.
struct QueryBlock {
  int64_t slice;
  int64_t kv_head;
  int64_t first;     // row of the batch
  int64_t position;  // of the first query in its sequence
  int64_t count;
  int64_t first_span;  // of its spans among those of all blocks

  int64_t rows(const Problem& problem) const { return count * problem.group; }
  // One past the last position any of them sees.
  int64_t end() const { return position + count; }
  int64_t spans() const { return (end() + kSpan - 1) / kSpan; }
  // Pairs of a query and a key, about.
  int64_t work() const { return count * end(); }
};

// Enough rows for a block, and whole tiles of them where they fit.
int64_t BlockQueries(int64_t group) {
  const int64_t fitting = std::max<int64_t>(1, kRows / group);
  const int64_t step = kProductRows / std::gcd(group, kProductRows);
  return fitting < step ? fitting : fitting / step * step;
}

// The blocks that see most and take longest come first.
std::span<const QueryBlock> CutIntoBlocks(Workspace& workspace, const Problem& problem) {
  const Slices& slices = problem.slices;
  int64_t count = 0;
  for (int64_t s = 0; s < slices.count(); ++s) {
    count += (slices.rows(s) + problem.block_queries - 1) / problem.block_queries;
  }
  count *= problem.cache.format.kv_heads;
  QueryBlock* blocks = workspace.Allocate<QueryBlock>(count);
  QueryBlock* next = blocks;
  for (int64_t s = 0; s < slices.count(); ++s) {
    for (int64_t t = 0; t < slices.rows(s); t += problem.block_queries) {
      for (int64_t head = 0; head < problem.cache.format.kv_heads; ++head) {
        *next++ = {.slice = s,
                   .kv_head = head,
                   .first = slices.first(s) + t,
                   .position = slices.position(s) + t,
                   .count = std::min(problem.block_queries, slices.rows(s) - t),
                   .first_span = 0};
      }
    }
  }
  std::stable_sort(blocks, next,
                   [](const QueryBlock& a, const QueryBlock& b) { return a.work() > b.work(); });
  int64_t spans = 0;
  for (QueryBlock* block = blocks; block != next; spans += block++->spans()) {
    block->first_span = spans;
  }
  return {blocks, static_cast<size_t>(count)};
}

void PackQueries(const Problem& problem, const QueryBlock& block, Matrix q) {
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(problem.dim())));
  for (int64_t r = 0; r < block.rows(problem); ++r) {
    const int64_t head = block.kv_head * problem.group + r % problem.group;
    const float* from = problem.queries.row(block.first + r / problem.group) + head * problem.dim();
    ScaleRow(problem.dim(), scale, from, q.row(r));
  }
}

// The tile at `position` as products read it: unpacked into `to`, or where it lies in the cache.
ConstMatrix Keys(const KvCache& cache, const QueryBlock& block, int64_t position, Matrix to) {
  const std::byte* tile = cache.Keys(block.slice, position, block.kv_head);
  if (cache.format.type == DType::kF32) {
    return {reinterpret_cast<const float*>(tile), to.rows, to.cols};
  }
  UnpackKeys(cache.format, tile, to);
  return to;
}
// Its first to.rows tokens.
ConstMatrix Values(const KvCache& cache, const QueryBlock& block, int64_t position, Matrix to) {
  const std::byte* tile = cache.Values(block.slice, position, block.kv_head);
  if (cache.format.type == DType::kF32 && to.cols == cache.format.head_dim) {
    return {reinterpret_cast<const float*>(tile), to.rows, to.cols};
  }
  UnpackValues(cache.format, tile, to);
  return to;
}

// Some positions of a span, as far as its rows see them, and the sums they enter.
struct Part {
  const Problem& problem;
  const QueryBlock& block;
  int64_t start;
  int64_t count;  // of positions, at most kKeyBlock
  const Partial& partial;

  // Positions that row r sees, and that a tile of rows from row r on sees.
  int64_t Visible(int64_t r) const {
    return std::clamp<int64_t>(block.position + r / problem.group + 1 - start, 0, count);
  }
  int64_t Depth(int64_t r) const { return Visible(r + Tile(r) - 1); }
  int64_t Tile(int64_t r) const { return std::min(kProductRows, rows() - r); }
  int64_t rows() const { return partial.values.rows; }
};

// The tile of keys and values a block later, up to position `end`: fetched while one tile of rows
// meets the tile of keys and of values at `position`.
FetchAhead FetchLater(const Part& part, int64_t position, int64_t end) {
  constexpr int64_t kLine = 64;
  if (position + kKeyBlock >= end) return {};
  const KvCache& cache = part.problem.cache;
  const auto bytes = static_cast<int64_t>(2 * cache.format.HalfTileBytes());
  const int64_t steps = 2 * part.problem.dim() * kKvTile / (kProductVecs * TileLanes());
  const int64_t step = std::clamp(bytes / steps / kLine, int64_t{1}, int64_t{2}) * kLine;
  const std::byte* next = cache.Keys(part.block.slice, position + kKeyBlock, part.block.kv_head);
  return {.next = next, .end = next + bytes, .step = step};
}

// Turns the scores of a tile of rows into weights; factors of older sums to `keep`.
void SoftmaxTile(const Part& part, int64_t r, Matrix scores, float* keep) {
  for (int64_t i = 0; i < part.Tile(r); ++i) {
    keep[i] = SoftmaxRow(scores.cols, part.Visible(r + i), scores.row(i),
                         part.partial.largest[r + i], part.partial.total[r + i]);
  }
}

// Few rows wait for memory: a tile of keys or values is unpacked when it is needed, and the one a
// block later fetched in time, up to position `end`.
HWY_NOINLINE void AttendFew(const Part& part, int64_t end, const Scratch& scratch) {
  const Problem& problem = part.problem;
  const int64_t dim = problem.dim();
  FetchAhead fetch[kTilesPerBlock];
  for (int64_t at = 0; at < part.count; at += kKvTile) {
    const ConstMatrix keys =
        Keys(problem.cache, part.block, part.start + at, scratch.keys.Rows(0, dim));
    FetchAhead& later = fetch[at / kKvTile] = FetchLater(part, part.start + at, end);
    for (int64_t r = 0; r < part.rows(); r += kProductRows) {
      const int64_t columns = std::min(kKvTile, PadColumns(part.Depth(r)) - at);
      if (columns <= 0) continue;
      Product(dim, scratch.q.Rows(r, part.Tile(r)), keys, nullptr,
              scratch.scores.Rows(r, part.Tile(r)).Cols(at, columns), later);
    }
  }
  float keep[kFewRows];
  for (int64_t r = 0; r < part.rows(); r += kProductRows) {
    const Matrix scores = scratch.scores.Rows(r, part.Tile(r));
    SoftmaxTile(part, r, scores.Cols(0, PadColumns(part.Depth(r))), keep + r);
  }
  for (int64_t at = 0; at < part.count; at += kKvTile) {
    const ConstMatrix values = Values(problem.cache, part.block, part.start + at,
                                      scratch.values.Rows(0, std::min(kKvTile, part.count - at)));
    for (int64_t r = 0; r < part.rows(); r += kProductRows) {
      const int64_t depth = std::min(kKvTile, part.Depth(r) - at);
      if (depth <= 0) continue;
      Product(depth, scratch.scores.Rows(r, part.Tile(r)).Cols(at, depth), values, keep + r,
              part.partial.values.Rows(r, part.Tile(r)), fetch[at / kKvTile]);
    }
    std::fill_n(keep, part.rows(), 1.0F);
  }
}

// Many rows are worth unpacking all first.
HWY_NOINLINE void AttendMany(const Part& part, const Scratch& scratch) {
  const Problem& problem = part.problem;
  const int64_t dim = problem.dim();
  for (int64_t at = 0; at < part.count; at += kKvTile) {
    const KvCache& cache = problem.cache;
    const int64_t position = part.start + at;
    UnpackKeys(cache.format, cache.Keys(part.block.slice, position, part.block.kv_head),
               scratch.keys.Rows(at / kKvTile * dim, dim));
    UnpackValues(cache.format, cache.Values(part.block.slice, position, part.block.kv_head),
                 scratch.values.Rows(at, std::min(kKvTile, part.count - at)));
  }
  for (int64_t r = 0; r < part.rows(); r += kProductRows) {
    const int64_t depth = part.Depth(r);
    if (depth == 0) continue;
    const Matrix scores = scratch.scores.Rows(0, part.Tile(r)).Cols(0, PadColumns(depth));
    for (int64_t at = 0; at < scores.cols; at += kKvTile) {
      Product(dim, scratch.q.Rows(r, part.Tile(r)), scratch.keys.Rows(at / kKvTile * dim, dim),
              nullptr, scores.Cols(at, std::min(kKvTile, scores.cols - at)));
    }
    float keep[kProductRows];
    SoftmaxTile(part, r, scores, keep);
    Product(depth, scores, scratch.values, keep, part.partial.values.Rows(r, part.Tile(r)));
  }
}

// Every row over positions [first, end), a span or its visible part; written to `partial`. The same
// rows will go on up to position `next_end`.
void Span(const Problem& problem, const QueryBlock& block, int64_t first, int64_t end,
          int64_t next_end, const Scratch& scratch, const Partial& partial) {
  Clear(partial);
  for (int64_t start = first; start < end; start += kKeyBlock) {
    const Part part = {.problem = problem,
                       .block = block,
                       .start = start,
                       .count = std::min(kKeyBlock, end - start),
                       .partial = partial};
    if (part.rows() <= kFewRows) {
      AttendFew(part, next_end, scratch);
    } else {
      AttendMany(part, scratch);
    }
  }
}

void Copy(const Partial& from, const Partial& to) {
  const int64_t rows = to.values.rows;
  std::copy_n(from.largest, rows, to.largest);
  std::copy_n(from.total, rows, to.total);
  for (int64_t r = 0; r < rows; ++r) CopyRow(to.values.cols, from.values.row(r), to.values.row(r));
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
    const int64_t row = block.first + r / problem.group;
    float* to = problem.out.row(row) + head * problem.dim();
    const float* from = sum.values.row(r);
    const float total = sum.total[r];
    std::transform(from, from + problem.dim(), to, [total](float x) { return x / total; });
    if (problem.log_sums.data != nullptr) {
      problem.log_sums.row(row)[head] = sum.largest[r] + std::log(total);
    }
  }
}

// One task per query block: spans one after the other.
void RunBlocks(KernelContext& context, const Problem& problem, std::span<const QueryBlock> blocks,
               int64_t work, Scratch* scratch) {
  ForTasks(context.pool, static_cast<int64_t>(blocks.size()), work, [&](int64_t index, int worker) {
    const QueryBlock& block = blocks[static_cast<size_t>(index)];
    Scratch& mine = scratch[worker];
    const Partial span = mine.span.Rows(0, block.rows(problem));
    const Partial sum = mine.sum.Rows(0, block.rows(problem));
    PackQueries(problem, block, mine.q);
    const int64_t end = block.end();
    Span(problem, block, 0, std::min(end, kSpan), end, mine, sum);
    for (int64_t first = kSpan; first < end; first += kSpan) {
      Span(problem, block, first, std::min(end, first + kSpan), end, mine, span);
      Merge(span, sum);
    }
    WriteOut(problem, block, sum);
  });
}

// The block that span `index` of all spans belongs to.
int64_t BlockOf(std::span<const QueryBlock> blocks, int64_t index) {
  const auto after = std::upper_bound(
      blocks.begin(), blocks.end(), index,
      [](int64_t span, const QueryBlock& block) { return span < block.first_span; });
  return after - blocks.begin() - 1;
}

// One task per query block and some of its spans, wave by wave: few queries, long context.
void RunSpans(KernelContext& context, const Problem& problem, std::span<const QueryBlock> blocks,
              int64_t work, Scratch* scratch) {
  const int64_t rows = problem.block_queries * problem.group;
  const int64_t padded = PadColumns(problem.dim());
  const auto block_count = static_cast<int64_t>(blocks.size());
  const int64_t spans = blocks.back().first_span + blocks.back().spans();
  const int64_t wave = std::min(spans, kRun * kWaveTasks * context.pool.size());
  const Partial partials = AllocatePartial(context.scratch, wave * rows, padded);
  const Partial sums = AllocatePartial(context.scratch, block_count * rows, padded);
  for (int64_t base = 0; base < spans; base += wave) {
    const int64_t count = std::min(wave, spans - base);
    const int64_t tasks = (count + kRun - 1) / kRun;
    ForTasks(context.pool, tasks, work, [&](int64_t task, int worker) {
      const int64_t run_end = std::min(count, (task + 1) * kRun);
      for (int64_t index = task * kRun; index < run_end; ++index) {
        const QueryBlock& block = blocks[static_cast<size_t>(BlockOf(blocks, base + index))];
        const int64_t first = (base + index - block.first_span) * kSpan;
        PackQueries(problem, block, scratch[worker].q);
        Span(problem, block, first, std::min(block.end(), first + kSpan),
             std::min(block.end(), first + (run_end - index) * kSpan), scratch[worker],
             partials.Rows(index * rows, block.rows(problem)));
      }
    });
    const int64_t first_block = BlockOf(blocks, base);
    const int64_t touched = BlockOf(blocks, base + count - 1) - first_block + 1;
    ForTasks(context.pool, touched, count * rows * padded / TileLanes(), [&](int64_t index, int) {
      const int64_t at = first_block + index;
      const QueryBlock& block = blocks[static_cast<size_t>(at)];
      const int64_t begin = std::max(base, block.first_span);
      const int64_t end = std::min(base + count, block.first_span + block.spans());
      const int64_t used = block.rows(problem);
      for (int64_t span = begin; span < end; ++span) {
        const Partial partial = partials.Rows((span - base) * rows, used);
        const Partial sum = sums.Rows(at * rows, used);
        span == block.first_span ? Copy(partial, sum) : Merge(partial, sum);
      }
    });
  }
  for (int64_t at = 0; at < block_count; ++at) {
    const QueryBlock& block = blocks[static_cast<size_t>(at)];
    WriteOut(problem, block, sums.Rows(at * rows, block.rows(problem)));
  }
}

void SoftmaxAttention(KernelContext& context, ConstMatrix queries, const KvCache& cache,
                      const Slices& slices, Matrix out, Matrix log_sums) {
  CheckSoftmax(queries, cache, slices, out, log_sums);
  if (queries.rows == 0) return;
  const int64_t heads = queries.cols / cache.format.head_dim;
  const int64_t group = heads / cache.format.kv_heads;
  int64_t longest = 0;
  for (int64_t s = 0; s < slices.count(); ++s) longest = std::max(longest, slices.rows(s));
  const Problem problem = {.queries = queries,
                           .cache = cache,
                           .slices = slices,
                           .out = out,
                           .log_sums = log_sums,
                           .group = group,
                           .block_queries = std::min(longest, BlockQueries(group))};
  Workspace::Frame frame(context.scratch);
  const std::span<const QueryBlock> blocks = CutIntoBlocks(context.scratch, problem);
  Scratch* scratch = AllocatePerThread(context, [&] {
    return AllocateScratch(context.scratch, problem.dim(), problem.block_queries * group);
  });
  int64_t pairs = 0;
  for (const QueryBlock& block : blocks) pairs += block.work() * group;
  const int64_t work = 2 * pairs * problem.dim() / TileLanes();
  const auto count = static_cast<int64_t>(blocks.size());
  const int64_t threads = context.pool.size();
  // Enough blocks to keep every thread busy to the end, or too few positions to share out.
  const bool many = count >= 4 * threads && blocks.front().work() * group * threads <= pairs;
  if (threads == 1 || many || blocks.front().end() <= kSpan) {
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
