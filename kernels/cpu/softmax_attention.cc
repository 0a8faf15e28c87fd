#include "kernels/softmax_attention.h"

#include <algorithm>
#include <cmath>
#include <iterator>
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

// Packed operands; one set per thread.
struct Scratch {
  Matrix q;       // [kRows, head_dim], scaled
  Matrix keys;    // [kTilesPerBlock * head_dim, kKvTile]
  Matrix values;  // [kKeyBlock, padded head_dim]
  Matrix scores;  // [kProductRows, kKeyBlock]
  Partial span;   // [kRows]
  Partial sum;    // [kRows]
};

Scratch AllocateScratch(Workspace& workspace, int64_t dim, int64_t rows) {
  const int64_t padded = PadColumns(dim);
  return {.q = workspace.AllocateMatrix(rows, dim),
          .keys = workspace.AllocateMatrix(kTilesPerBlock * dim, kKvTile),
          .values = workspace.AllocateMatrix(kKeyBlock, padded),
          .scores = workspace.AllocateMatrix(kProductRows, kKeyBlock),
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

// Keys and values of a block of positions as products read them: where they lie in the cache, or
// unpacked.
struct KeyBlock {
  ConstMatrix keys[kTilesPerBlock];    // [head_dim, kKvTile]
  ConstMatrix values[kTilesPerBlock];  // [tokens, padded head_dim]
  // Few rows: the values of a tile need not lie behind those of the tile before, and while a tile
  // is worked on, the one a block later is fetched.
  bool few = false;
  FetchAhead fetch[kTilesPerBlock];
};

// Positions [first, first + count). What lies behind them is not read, and the columns of keys
// behind them hold anything: SoftmaxRow ignores them. Few rows are not worth a copy.
KeyBlock ReadBlock(const KvCache& cache, const QueryBlock& block, int64_t first, int64_t count,
                   bool few, const Scratch& scratch) {
  const int64_t dim = cache.format.head_dim;
  const bool keys_in_place = cache.format.type == DType::kF32 && few;
  const bool values_in_place = keys_in_place && PadColumns(dim) == dim;
  KeyBlock result;
  result.few = few;
  for (int64_t at = 0; at < count; at += kKvTile) {
    const int64_t tile = at / kKvTile;
    const int64_t tokens = std::min(kKvTile, count - at);
    const std::byte* keys = cache.Keys(block.slice, first + at, block.kv_head);
    const std::byte* values = cache.Values(block.slice, first + at, block.kv_head);
    if (keys_in_place) {
      result.keys[tile] = {reinterpret_cast<const float*>(keys), dim, kKvTile};
    } else {
      const Matrix unpacked = scratch.keys.Rows(tile * dim, dim);
      UnpackKeys(cache.format, keys, unpacked);
      result.keys[tile] = unpacked;
    }
    if (values_in_place) {
      result.values[tile] = {reinterpret_cast<const float*>(values), tokens, dim};
    } else {
      const Matrix unpacked = scratch.values.Rows(at, tokens);
      UnpackValues(cache.format, values, unpacked);
      result.values[tile] = unpacked;
    }
  }
  return result;
}

// The tiles a block after the one at `first`, up to position `end`, shared out to the products of
// one tile of rows with a tile of keys and of values.
void FetchNext(const KvCache& cache, const QueryBlock& block, int64_t first, int64_t end,
               KeyBlock& current) {
  constexpr int64_t kLine = 64;
  const auto bytes = static_cast<int64_t>(2 * cache.format.HalfTileBytes());
  const int64_t steps = 2 * cache.format.head_dim * kKvTile / (kProductVecs * TileLanes());
  const int64_t step = std::clamp(bytes / steps / kLine, int64_t{1}, int64_t{2}) * kLine;
  for (int64_t tile = 0; tile < kTilesPerBlock; ++tile) {
    const int64_t position = first + kKeyBlock + tile * kKvTile;
    if (position >= end) return;
    const std::byte* next = cache.Keys(block.slice, position, block.kv_head);
    current.fetch[tile] = {.next = next, .end = next + bytes, .step = step};
  }
}

// scores = q keys^T; columns are whole vectors.
void Scores(int64_t dim, ConstMatrix q, KeyBlock& block, Matrix scores) {
  for (int64_t at = 0; at < scores.cols; at += kKvTile) {
    const int64_t tile = at / kKvTile;
    const Matrix part = scores.Cols(at, std::min(kKvTile, scores.cols - at));
    if (block.few) {
      Product(dim, q, block.keys[tile], nullptr, part, block.fetch[tile]);
    } else {
      Product(dim, q, block.keys[tile], nullptr, part);
    }
  }
}

// sums = diag(keep) sums + weights values, over the first `depth` of them.
void AddValues(int64_t depth, ConstMatrix weights, KeyBlock& block, const float* keep,
               Matrix sums) {
  if (!block.few) return Product(depth, weights, block.values[0], keep, sums);
  constexpr float kOnes[] = {1, 1, 1, 1, 1, 1, 1, 1};
  static_assert(std::size(kOnes) >= kProductRows);
  for (int64_t at = 0; at < depth; at += kKvTile) {
    const int64_t count = std::min(kKvTile, depth - at);
    const int64_t tile = at / kKvTile;
    Product(count, weights.Cols(at, count), block.values[tile], at == 0 ? keep : kOnes, sums,
            block.fetch[tile]);
  }
}

// Every row over positions [first, end), a span or its visible part; written to `partial`. What
// comes next will be read up to position `next_end`.
HWY_NOINLINE void Span(const Problem& problem, const QueryBlock& block, int64_t first, int64_t end,
                       int64_t next_end, const Scratch& scratch, const Partial& partial) {
  const int64_t rows = block.rows(problem);
  const bool few = rows <= 2 * kProductRows;
  Clear(partial);
  for (int64_t start = first; start < end; start += kKeyBlock) {
    const int64_t count = std::min(kKeyBlock, end - start);
    KeyBlock keys_and_values = ReadBlock(problem.cache, block, start, count, few, scratch);
    if (few) FetchNext(problem.cache, block, start, next_end, keys_and_values);
    for (int64_t r = 0; r < rows; r += kProductRows) {
      const int64_t tile = std::min(kProductRows, rows - r);
      // Positions of this block that query `row` sees, and that the tile's last row sees.
      const auto visible = [&](int64_t row) {
        return std::clamp<int64_t>(block.position + row / problem.group + 1 - start, 0, count);
      };
      const int64_t depth = visible(r + tile - 1);
      if (depth == 0) continue;
      const Matrix scores = scratch.scores.Rows(0, tile).Cols(0, PadColumns(depth));
      Scores(problem.dim(), scratch.q.Rows(r, tile), keys_and_values, scores);
      float keep[kProductRows];
      for (int64_t i = 0; i < tile; ++i) {
        keep[i] = SoftmaxRow(scores.cols, visible(r + i), scores.row(i), partial.largest[r + i],
                             partial.total[r + i]);
      }
      AddValues(depth, scores, keys_and_values, keep, partial.values.Rows(r, tile));
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
