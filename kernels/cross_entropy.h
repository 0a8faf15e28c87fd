// The head and its loss in one: logits exist for a block of tokens at a time.
#pragma once

#include <cstdint>
#include <span>

#include "base/matrix.h"
#include "base/weight_matrix.h"
#include "kernels/context.h"

namespace fulmen {

// x [T, hidden] float32, head [vocab, hidden], targets[t] in [0, vocab) or -1 for a position that
// predicts nothing. Returns the sum over predicted positions of -log softmax(x_t
// head^T)[targets[t]], in double. dx (overwritten; zero where nothing is predicted) and dhead
// [vocab, hidden] (added to) are the gradients of `scale` times that sum; where dx is empty, no
// gradient is computed. No [T, vocab] matrix is held for all T.
using CrossEntropyFn = double (*)(KernelContext&, ConstMatrix x, const WeightMatrix& head,
                                  std::span<const int32_t> targets, float scale, Matrix dx,
                                  Matrix dhead);

}  // namespace fulmen
