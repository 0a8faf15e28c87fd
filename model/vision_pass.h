// The layers of the vision tower and the projector, forward and back, written once: inference runs
// the forward pass in the memory of one layer, training keeps what the backward pass needs.
// Internal to model/.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/compute.h"
#include "model/weights.h"

namespace fulmen {

// What one layer computed from its input; rows are the tokens of all tiles, R of them.
struct VisionActivations {
  Matrix attention_input;        // [R, width], normed
  Matrix queries, keys, values;  // [R, width]
  Matrix attended;               // [R, width]
  Matrix log_sums;               // [R, heads], where it is kept
  Matrix middle;                 // [R, width]: the residual stream between attention and MLP
  Matrix mlp_input;              // [R, width], normed
  Matrix wide;                   // [R, ffn], before its bias and GELU
  Matrix active;                 // [R, ffn], after them
};

// Of some whole tiles. dX is the gradient of the loss with respect to X; gradients of weights are
// added to.
class VisionPass {
 public:
  VisionPass(const VisionConfig& config, const VisionWeights& weights, const Compute& compute,
             int64_t tiles);

  int64_t rows() const { return tiles_ * tokens_; }
  // Of one for each row of all tiles' patches: its row among those with class tokens.
  const std::vector<int64_t>& patch_rows() const { return patch_rows_; }

  // Patches and class tokens with their positions [R, width], before the norm.
  void Embed(ConstMatrix patches, Matrix sum) const;
  void EmbedBackward(ConstMatrix patches, ConstMatrix dsum,
                     const VisionTensors<Matrix>& gradients) const;

  // Memory for a layer, all of it apart where it is kept.
  VisionActivations Allocate(bool keep, Matrix output) const;
  // `output` may be `input` where nothing is kept.
  void Layer(const VisionLayerWeights& layer, ConstMatrix input, Matrix output,
             const VisionActivations& a) const;
  // dhidden goes in as the gradient of the layer's output and comes out as that of its input.
  void LayerBackward(const VisionLayerWeights& layer, ConstMatrix input, const VisionActivations& a,
                     Matrix dhidden, const VisionLayerTensors<Matrix>& gradients) const;

  void Norm(ConstMatrix x, const WeightMatrix& weight, const WeightMatrix& bias, Matrix out) const {
    compute_.kernels.layer_norm(compute_.context, x, weight, bias, config_.norm_epsilon, out);
  }
  // `skip` as in LayerNormBackwardFn.
  void NormBackward(ConstMatrix x, const WeightMatrix& weight, ConstMatrix dy, ConstMatrix skip,
                    Matrix dx, const Matrix& dweight, const Matrix& dbias) const;
  Matrix Allocate(int64_t rows, int64_t cols) const {
    return compute_.context.scratch.AllocateMatrix(rows, cols);
  }

 private:
  // y = x W^T + b.
  void Linear(ConstMatrix x, const WeightMatrix& weight, const WeightMatrix& bias, Matrix y) const;
  void LinearBackward(ConstMatrix x, const WeightMatrix& weight, ConstMatrix dy, bool add,
                      Matrix dx, const Matrix& dweight, const Matrix& dbias) const;
  PackedAttention AttentionOf(const VisionActivations& a) const {
    return {a.queries, a.keys, a.values, config_.width / config_.heads, starts_};
  }

  const VisionConfig& config_;
  const VisionWeights& weights_;
  const Compute& compute_;
  int64_t tiles_;
  int64_t tokens_;  // of a tile, with its class token
  std::vector<int64_t> starts_;
  std::vector<int64_t> patch_rows_;
};

// What the projector computed on the way; x are rows of the tower's output.
struct ProjectorActivations {
  Matrix wide;    // [T, hidden], before its bias and GELU
  Matrix active;  // [T, hidden], after them; `wide` itself where nothing is kept
};
void ProjectForward(const VisionWeights& weights, const Compute& compute, ConstMatrix x,
                    const ProjectorActivations& a, Matrix out);
// dx is overwritten; none where it is empty. dout is used up.
void ProjectBackward(const VisionWeights& weights, const Compute& compute, ConstMatrix x,
                     const ProjectorActivations& a, Matrix dout, Matrix dx,
                     const VisionTensors<Matrix>& gradients);

}  // namespace fulmen
