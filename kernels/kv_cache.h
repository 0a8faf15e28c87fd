// The keys and values of softmax attention, as the cache keeps them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/dtype.h"
#include "base/status.h"
#include "base/workspace.h"
#include "kernels/slices.h"

namespace fulmen {

// Tokens of a tile. Tiles lie at multiples of it within a sequence.
inline constexpr int64_t kKvTile = 32;

// A tile is what one KV head keeps of kKvTile tokens, in the order in which products read it:
//   keys    [head_dim][kKvTile]   one column per token
//   values  [kKvTile][head_dim]   one row per token
// in elements of F32, F16 or BF16, rounded to nearest, ties to even. In Q8_0, 32 elements of a
// token share a scale s = max |x| / 127, kept as F16, and each is a byte, x / s rounded; behind the
// bytes of all elements stand the scales:
//   of keys [head_dim / 32][kKvTile], of values [kKvTile][head_dim / 32]
// A scale is infinite or NaN where one of its elements was.
struct KvFormat {
  DType type = DType::kF32;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;

  // Of the keys or of the values of a tile.
  size_t HalfTileBytes() const;
  // Of the tiles of all KV heads for this many tokens, which are whole tiles.
  size_t BytesOfTokens(int64_t tokens) const;
};

// Elements that share a scale in Q8_0.
inline constexpr int64_t kKvGroup = 32;

// Whether keys and values can be kept as `type`.
bool IsKvType(DType type);
// Fails where heads of this size cannot be kept so: those of Q8_0 are whole groups.
Status CheckKvType(DType type, int64_t head_dim);

// Where the keys and values of one layer lie for the sequences of a batch. Position p of a sequence
// lies in its page p / page_tokens; a page has the tiles of page_tokens tokens, of each all KV
// heads, of each keys and then values. Entries past a sequence's end hold anything and must not
// influence any result.
struct KvCache {
  std::span<const std::span<std::byte* const>> pages;  // [S], of each slice's sequence, in order
  int64_t page_tokens = 0;                             // whole tiles
  size_t offset = 0;  // bytes from the start of a page to this layer
  KvFormat format;

  // The tile of `position`: the values lie behind the keys.
  std::byte* Keys(int64_t slice, int64_t position, int64_t kv_head) const;
  std::byte* Values(int64_t slice, int64_t position, int64_t kv_head) const {
    return Keys(slice, position, kv_head) + format.HalfTileBytes();
  }
};

// A cache in scratch memory for slices that begin their sequences and are not kept, each slice one
// page. Must not outlive the frame of `scratch` in which it was made.
class BatchKv {
 public:
  BatchKv(Workspace& scratch, const KvFormat& format, const Slices& slices);
  BatchKv(const BatchKv&) = delete;
  BatchKv& operator=(const BatchKv&) = delete;

  const KvCache& cache() const { return cache_; }

 private:
  std::vector<std::byte*> memory_;                  // [S]
  std::vector<std::span<std::byte* const>> pages_;  // [S]
  KvCache cache_;
};

// Stops where shapes contradict each other, or positions have no page.
void CheckKvCache(const KvCache& cache, const Slices& slices);

}  // namespace fulmen
