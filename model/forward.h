// The forward pass, written once over the kernel table.
#pragma once

#include <cstdint>
#include <span>

#include "base/matrix.h"
#include "base/status.h"
#include "kernels/kernels.h"
#include "model/state.h"
#include "model/weights.h"

namespace fulmen {

// Optional copies of intermediate results, for tests and `eval logits`. A null pointer is not
// captured. T is the number of tokens of the call.
struct ForwardCapture {
  float* hidden = nullptr;     // [layers + 1, T, hidden]: input of each layer; last: after the norm
  int32_t* experts = nullptr;  // [layers, T, k]
  float* expert_weights = nullptr;  // [layers, T, k]
};

// Runs `tokens` through the model from `state`, which advances past them. Writes the logits of the
// last logits.rows tokens to `logits` [N, vocab] (N may be 0, at most T). Tokens must lie in [0,
// vocab). Fails with kNonFinite, naming the first layer whose output was not finite; `state` is
// then unusable.
Status Forward(const Model& model, const Kernels& kernels, KernelContext& context,
               std::span<const int32_t> tokens, SequenceState& state, Matrix logits,
               const ForwardCapture& capture = {});

}  // namespace fulmen
