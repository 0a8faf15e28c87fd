// The trainable tensors of a model as float32, in one piece of memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/memory.h"
#include "model/config.h"
#include "model/tensor_table.h"
#include "model/weights.h"

namespace fulmen {

// One float32 array per tensor of ExpectedTensors(config), in that order. Used for master weights,
// their gradients and the optimizer's moments alike. Movable; views stay valid.
class Parameters {
 public:
  // Zeros.
  explicit Parameters(const Config& config);
  // Copies the weights, widened to float32.
  Parameters(const Config& config, const Weights& weights);

  // Copies the weights of a model of `config`, which has the first tensors of this one: those of
  // text come before those of a vision half.
  void Copy(const Config& config, const Weights& weights);

  size_t size() const { return tensors_.size(); }
  const TensorInstance& tensor(size_t index) const { return tensors_[index]; }
  std::span<float> values(size_t index);
  std::span<const float> values(size_t index) const;
  // All of them, padding between tensors (always zero) included.
  std::span<float> all() { return values_; }
  // The pieces of all() that hold the tensors of a layer of text (one piece), or those of none
  // (-1): the tower's layers belong there.
  std::vector<std::span<float>> LayerPieces(int64_t layer);

  // Views by layer, valid as long as this.
  Weights AsWeights(const Config& config) const;
  Gradients AsGradients(const Config& config);

 private:
  std::vector<TensorInstance> tensors_;
  std::vector<size_t>
      offsets_;  // of each tensor in values_; multiples of 16, so aligned vectors fit
  std::vector<float, AlignedAllocator<float>> values_;
};

}  // namespace fulmen
