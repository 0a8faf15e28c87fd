// Lightning attention: linear attention with a decay per head and a constant-size state.
// MiniMax-01 report, section 2.2, equations 4-9 and algorithm 1; decay as in the released code.
#pragma once

#include <cstdint>
#include <span>

#include "base/matrix.h"
#include "kernels/context.h"
#include "kernels/slices.h"

namespace fulmen {

// Tokens of a block of the block form. Blocks lie at multiples of it within a sequence, wherever
// the sequence is cut into batches.
inline constexpr int64_t kLightningBlock = 32;

// What a sequence remembers in one lightning layer: the state before the block under way, and the
// keys and values of that block so far. A token then reads the state, and only the last of a block
// writes it. Of each head, contiguous:
//   [head_dim, kLightningBlock]  keys of the block, one column per token
// and by panels of kStatePanel columns e of v, the last as narrow as head_dim leaves it,
//   [head_dim + kLightningBlock, columns]  S[d of k][e of v], then the values of the block
// What was not written yet holds anything, S in the first block as well.
inline constexpr int64_t kStatePanel = 32;
inline int64_t LightningMemorySize(int64_t heads, int64_t head_dim) {
  return heads * head_dim * (head_dim + 2 * kLightningBlock);
}

// For each head h, token by token of a slice: S <- exp(-decay[h]) * S + k v^T;  o = S^T q, with q,
// k and v after SiLU, which this applies. There is no scale factor. Accumulation is float32 and all
// exponents are <= 0. A token's bits depend on the tokens of its sequence up to it and on nothing
// else: not on how they were cut into batches, nor on other slices or threads. (A later token of
// its own slice that is not finite may make it so.)
//
//   qkv     [T, heads * 3 * head_dim]: per head q | k | v, before SiLU
//   decay   [heads], >= 0
//   memory  [S]: LightningMemorySize floats each, of the tokens before the slice when it begins and
//           of all when it ends; null where the slice begins its sequence and nothing is kept
//   out     [T, heads * head_dim]
using LightningAttentionFn = void (*)(KernelContext&, ConstMatrix qkv, std::span<const float> decay,
                                      const Slices& slices, std::span<float* const> memory,
                                      Matrix out);

// state [heads * head_dim, head_dim] = S of every head after all `position` tokens that `memory`
// was told: the state before the block, decayed over the tokens since, and what these add to it.
using LightningStateFn = void (*)(KernelContext&, std::span<const float> decay, int64_t position,
                                  const float* memory, Matrix state);

// Stops where shapes contradict each other.
inline void CheckLightning(ConstMatrix qkv, int64_t heads, const Slices& slices,
                           std::span<float* const> memory, ConstMatrix out) {
  FULMEN_CHECK(
      heads > 0 && out.cols % heads == 0 && qkv.cols == 3 * out.cols && qkv.rows == out.rows,
      "qkv is [{}, {}], out [{}, {}] for {} heads", qkv.rows, qkv.cols, out.rows, out.cols, heads);
  CheckSlices(slices, qkv.rows);
  FULMEN_CHECK(static_cast<int64_t>(memory.size()) == slices.count(), "{} memories for {} slices",
               memory.size(), slices.count());
  for (int64_t s = 0; s < slices.count(); ++s) {
    FULMEN_CHECK(memory[static_cast<size_t>(s)] != nullptr || slices.position(s) == 0,
                 "slice {} begins at position {} and has no memory", s, slices.position(s));
  }
}

// dqkv = gradient of the above with respect to qkv, given dout; overwritten. The slices begin their
// sequences and lie between the borders `starts`. Nothing of the forward pass need be kept: the
// states before each block are computed again, and the gradients of keys and values come from the
// mirrored state, summed from a slice's end.
using LightningAttentionBackwardFn = void (*)(KernelContext&, ConstMatrix qkv,
                                              std::span<const float> decay,
                                              std::span<const int64_t> starts, ConstMatrix dout,
                                              Matrix dqkv);

}  // namespace fulmen
