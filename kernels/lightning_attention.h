// Lightning attention: linear attention with a decay per head and a constant-size state.
// MiniMax-01 report, section 2.2, equations 4-9 and algorithm 1; decay as in the released code.
#pragma once

#include <span>

#include "base/matrix.h"
#include "kernels/context.h"

namespace fulmen {

// For each head h, token by token: S <- exp(-decay[h]) * S + k v^T;  o = S^T q.
// There is no scale factor. Implementations may work in blocks of any size (all exponents are <=
// 0); accumulation is float32.
//
//   qkv    [T, heads * 3 * head_dim]: per head q | k | v, after their activation
//   decay  [heads], >= 0
//   state  [heads * head_dim, head_dim]: S[d of k][e of v] per head, read and updated in place
//   out    [T, heads * head_dim]
using LightningAttentionFn = void (*)(KernelContext&, ConstMatrix qkv, std::span<const float> decay,
                                      Matrix state, Matrix out);

// Training: documents packed end to end. `starts` holds their borders, rising from 0 to T; each
// document begins with an empty state, and nothing crosses a border. qkv is before its activation,
// SiLU, which this applies; other arguments as above.
using LightningAttentionPackedFn = void (*)(KernelContext&, ConstMatrix qkv,
                                            std::span<const float> decay,
                                            std::span<const int64_t> starts, Matrix out);

// dqkv = gradient of the above with respect to qkv, given dout; overwritten. Nothing of the forward
// pass need be kept: the states before each block are computed again, and the gradients of keys and
// values come from the mirrored state, summed from a document's end.
using LightningAttentionBackwardFn = void (*)(KernelContext&, ConstMatrix qkv,
                                              std::span<const float> decay,
                                              std::span<const int64_t> starts, ConstMatrix dout,
                                              Matrix dqkv);

}  // namespace fulmen
