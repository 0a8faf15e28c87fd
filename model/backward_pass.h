// The backward pass through the layers of forward_pass.h. Internal to model/.
#pragma once

#include <cstdint>
#include <vector>

#include "model/forward_pass.h"
#include "model/weights.h"

namespace fulmen {

// dX is the gradient of the loss with respect to X.
class BackwardPass {
 public:
  BackwardPass(const Config& config, const Weights& weights, const Compute& compute,
               const BatchScope& scope, const Gradients& gradients)
      : config_(config),
        weights_(weights),
        compute_(compute),
        scope_(scope),
        gradients_(gradients) {}

  // The gradients of the router's losses, the same for all layers.
  struct RouterLoss {
    std::vector<float> coefficients;  // per expert, see RouterLossBackwardFn
    float z = 0;
  };

  // dhidden goes in as the gradient of the layer's output and comes out as that of its input.
  void Layer(int64_t layer, const LayerActivations& a, ConstMatrix input, const RouterLoss& loss,
             Matrix dhidden) const;

  // dx may be dy or the gradient of the skip connection.
  void Norm(ConstMatrix x, const WeightMatrix& weight, const Matrix& dweight, ConstMatrix dy,
            const SkipConnection& skip, Matrix dx) const;

 private:
  Matrix Allocate(int64_t rows, int64_t cols) const {
    return compute_.context.scratch.AllocateMatrix(rows, cols);
  }
  // `x` itself where there is nothing to scale.
  ConstMatrix Scaled(float factor, ConstMatrix x) const;
  // y = x W^T: adds to dweight, and dx becomes (or has added to it) dy W.
  void Linear(ConstMatrix x, const WeightMatrix& weight, ConstMatrix dy, const Matrix& dweight,
              bool add, Matrix dx) const;
  // The residual connection and the norm before a branch: dnormed is the gradient of the branch's
  // input, dhidden that of the output of the connection.
  void Join(const ResidualScale& scale, ConstMatrix x, const WeightMatrix& weight,
            const Matrix& dweight, Matrix dnormed, Matrix dhidden) const;
  void Mlp(int64_t layer, const LayerActivations& a, const RouterLoss& loss, Matrix dhidden) const;
  void Attention(int64_t layer, const LayerActivations& a, ConstMatrix input, Matrix dhidden) const;
  void Lightning(int64_t layer, const LayerActivations& a, ConstMatrix dbranch,
                 Matrix dnormed) const;
  void Softmax(int64_t layer, const LayerActivations& a, ConstMatrix dbranch, Matrix dnormed) const;

  const Config& config_;
  const Weights& weights_;
  const Compute& compute_;
  const BatchScope& scope_;
  const Gradients& gradients_;
};

}  // namespace fulmen
