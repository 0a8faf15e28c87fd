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

// One step that decodes a token of each of some sequences.
struct DecodeStep {
  int64_t sequences = 1;
  int64_t position = 0;  // of each
  double experts = 0;    // distinct ones read, of a layer, on average
};
// Bytes the step must at least move: the weights it uses once, one embedding row, the KV cache and
// what LightningDecodeBytes counts of each sequence.
double DecodeBytes(const Model& model, const DecodeStep& step, DType kv_type);

// What lightning layers move per token, on average over a block: the state read, and written once a
// block; the keys and values of the block read, the token's own written.
double LightningDecodeBytes(const Config& config);

// Parameters in all, of these in the vision half, and those one token uses without embedding and
// head.
int64_t ParameterCount(const Config& config);
int64_t VisionParameterCount(const Config& config);
int64_t ActiveParameterCount(const Config& config);

}  // namespace fulmen
