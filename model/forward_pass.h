// The layers of the forward pass, written once: inference runs them on the memory of sequences,
// training on documents packed end to end, keeping what the backward pass needs. Internal to
// model/.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "base/status.h"
#include "kernels/compute.h"
#include "model/expert_capacity.h"
#include "model/state.h"
#include "model/weights.h"

namespace fulmen {

// What one layer computed from its input. The matrices of the other kind of layer are empty.
struct LayerActivations {
  Matrix attention_input;  // [T, hidden], normed
  // Lightning layers.
  Matrix qkv;   // [T, 3 * heads * head_dim], before its activation
  Matrix gate;  // [T, heads * head_dim], before the sigmoid
  // Softmax layers.
  Matrix queries;   // [T, heads * head_dim], rotated
  Matrix kv;        // [T, 2 * kv_heads * head_dim]: keys, rotated, and values
  Matrix log_sums;  // [T, heads], where it is kept
  // Both.
  // What attention gave, [T, heads * head_dim]; gated in lightning layers that keep nothing.
  Matrix attended;
  Matrix middle;                // [T, hidden]: the residual stream between attention and experts
  Matrix mlp_input;             // [T, hidden], normed
  Matrix router_logits;         // [T, E]
  MatrixView<int32_t> experts;  // [T, k], chosen
  MatrixView<int32_t> kept_experts;  // [T, k], -1 where the choice was dropped
  Matrix routing_weights;            // [T, k]
  MoeActivations moe;                // where kept

  Matrix keys() const { return kv.Cols(0, kv.cols / 2); }
  Matrix values() const { return kv.Cols(kv.cols / 2, kv.cols / 2); }
};

// What is kept of softmax attention where all else is computed again, because its work grows with
// the length. Empty in lightning layers, and where all or nothing is kept.
struct AttentionOutput {
  Matrix attended, log_sums;  // see LayerActivations
};

// What a sequence remembers after the first `row` rows of the batch, wanted in `fork`.
struct ForkPoint {
  int64_t row;
  const SequenceState* sequence;
  const SequenceState* fork;
};

// The rows of a batch, and what they may look at.
struct BatchScope {
  Slices slices;
  std::span<const int64_t> positions;              // [T]: of each row in its sequence
  std::span<SequenceState* const> sequences = {};  // [S] of one pool; empty: slices begin their
                                                   // sequences, and nothing of these is remembered
  std::span<const ForkPoint> forks = {};           // in order of rows
  bool keep_activations = false;                   // for the backward pass: nothing overwrites them
  bool keep_moe = false;                           // of these, what the experts computed
  ExpertCapacity* capacity = nullptr;              // training with token drop
};

// What a result that is not finite comes from.
inline constexpr const char* kNonFiniteHint =
    "float32 overflowed, or a weight is not finite, which fulmen inspect --verify finds";

class ForwardPass {
 public:
  ForwardPass(const Config& config, const Weights& weights, const Compute& compute,
              const BatchScope& scope);

  // The residual stream before the layer and after it, both [T, hidden]; `output` may be `input`
  // where no activations are kept. The activations lie in scratch memory allocated here, so a Frame
  // around the call ends their life, but for what goes into `keep`. Fails when a rank is lost.
  Result<LayerActivations> Layer(int64_t layer, ConstMatrix input, Matrix output,
                                 const AttentionOutput& keep = {}) const;
  // The activations of a layer that ran before, bit for bit, from its input and what was kept.
  Result<LayerActivations> Recompute(int64_t layer, ConstMatrix input,
                                     const AttentionOutput& kept) const;
  // Empty in lightning layers.
  AttentionOutput AllocateAttentionOutput(int64_t layer, int64_t tokens) const;

  void Norm(ConstMatrix x, const WeightMatrix& weight, Matrix out) const {
    compute_.kernels.rms_norm(compute_.context, x, weight, config_.rms_norm_epsilon, out);
  }
  // The norm over all heads has an epsilon of its own in the released code.
  static constexpr float kLightningNormEpsilon = 1e-6F;

 private:
  Matrix Allocate(int64_t rows, int64_t cols) const {
    return compute_.context.scratch.AllocateMatrix(rows, cols);
  }
  bool IsLightning(int64_t layer) const {
    return config_.layers[static_cast<size_t>(layer)] == LayerKind::kLightning;
  }
  void Linear(ConstMatrix x, std::initializer_list<Projection> projections) const {
    compute_.kernels.linear(compute_.context, x, projections);
  }
  // Memory for everything that outlives the layer, except `middle`; of the attention's output where
  // `keep` has none.
  LayerActivations AllocateActivations(int64_t layer, int64_t tokens,
                                       const AttentionOutput& keep) const;
  // `known`: softmax layers find their output in `a`.
  void Attention(int64_t layer, ConstMatrix input, bool known, const LayerActivations& a) const;
  void Lightning(int64_t layer, const LayerActivations& a, Matrix branch) const;
  void AttendLightning(int64_t layer, const LayerActivations& a) const;
  void AttendLightningRows(int64_t layer, const LayerActivations& a, int64_t first,
                           int64_t last) const;
  void Softmax(int64_t layer, const LayerActivations& a, bool known, Matrix branch) const;
  void AttendSoftmax(int64_t layer, const LayerActivations& a) const;
  // Only the activations where there is no output.
  Status Mlp(int64_t layer, const LayerActivations& a, Matrix output) const;
  // Which choices are kept, of those the router made.
  Status Drop(int64_t layer, const LayerActivations& a) const;
  void AddBranch(const ResidualScale& scale, ConstMatrix x, ConstMatrix normed, ConstMatrix branch,
                 Matrix output) const;

  const Config& config_;
  const Weights& weights_;
  const Compute& compute_;
  const BatchScope& scope_;
  std::vector<std::span<std::byte* const>> pages_;  // of the sequences
};

// The error of layer `layer`, some output of which at positions first .. last is not finite.
Error NonFiniteLayer(const Config& config, int64_t layer, int64_t first, int64_t last);
// What is wrong with rows of one sequence, from position `first` on, after `layer`, or after the
// embedding for -1.
Status CheckHealth(const Config& config, int64_t layer, std::span<const RowHealth> rows,
                   int64_t first);

}  // namespace fulmen
