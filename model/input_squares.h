// How large the inputs of a model's weights are while it reads a text: for each column of a matrix
// the sum of the squares of what it was multiplied with.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "kernels/compute.h"
#include "model/forward.h"
#include "model/state.h"
#include "model/weights.h"

namespace fulmen {

struct ColumnSquares {
  int64_t tokens = 0;           // that were summed
  std::vector<double> squares;  // [cols]
};

// Memory does not grow with the text. `model` and `compute` must outlive this.
class InputSquares : private ForwardObserver {
 public:
  InputSquares(const Model& model, const Compute& compute);

  // Adds one sequence, read from an empty state.
  Status Read(std::span<const int32_t> ids);

  // Of a tensor; for one of experts only the tokens that were routed there count. nullptr for what
  // is no factor of a product, and for the router. A tied embedding counts as the head it is.
  const ColumnSquares* Find(const TensorRow& row, int64_t layer, int64_t expert) const;

 private:
  struct OfExpert {
    ColumnSquares input;   // of gate and up, [hidden]
    ColumnSquares hidden;  // of down, [ffn]
  };
  struct OfLayer {
    ColumnSquares input;     // of the products before attention, [hidden]
    ColumnSquares attended;  // of the one after it, [heads * head_dim]
    std::vector<OfExpert> experts;
  };

  void OnLayer(int64_t layer, const LayerActivations& activations) override;
  void OnHidden(ConstMatrix hidden) override;
  // A copy of what lies end to end.
  template <class T>
  MatrixView<const T> ToHost(MatrixView<const T> matrix, std::vector<T>& memory) const;
  void AddRows(ConstMatrix matrix, ColumnSquares& sums);
  void AddExperts(const LayerActivations& activations, std::span<OfExpert> experts);

  const Model& model_;
  const Compute& compute_;
  StatePool states_;
  std::vector<OfLayer> layers_;
  ColumnSquares head_;  // [hidden]
  // Copies of what the device computed.
  std::vector<float> rows_;
  std::vector<float> gate_;
  std::vector<float> up_;
  std::vector<int32_t> choices_;
};

}  // namespace fulmen
