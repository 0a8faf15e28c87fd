// What a forward call costs, counted from the geometry: the yardstick for `bench` and `inspect`.
#pragma once

#include <cstdint>
#include <span>

#include "model/weights.h"

namespace fulmen {

// Floating-point operations (a multiply-add counts two) of a call of `tokens` tokens at `position`
// that wants `logit_rows` rows of logits: products with weights, QK^T and PV of softmax layers over
// the causal half, and the recurrence of lightning layers (4 head_dim^2 per head and token, its
// minimum in any form). Norms, activations and the router's softmax are left out.
double ForwardFlops(const Config& config, int64_t tokens, int64_t position, int64_t logit_rows);

// The same for whole documents packed end to end, from their borders (see PackedBatch).
double PackedForwardFlops(const Config& config, std::span<const int64_t> starts,
                          int64_t logit_rows);

// Bytes decoding one token at `position` must at least move: the weights it uses once (its
// experts_per_token experts only), one embedding row, the KV cache before it, and every lightning
// state read and written.
double DecodeBytes(const Model& model, int64_t position);

// Parameters in all, and those one token uses without embedding and head.
int64_t ParameterCount(const Config& config);
int64_t ActiveParameterCount(const Config& config);

}  // namespace fulmen
