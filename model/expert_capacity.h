// Token drop: an expert takes so many tokens of a layer and no more. MiniMax-01 report,
// section 2.1.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "base/tensor.h"
#include "parallel/communicator.h"

namespace fulmen {

// One limit for the tokens of all ranks, as the report's global router has it: with n of them, an
// expert takes ceil(factor * n * k / experts) choices of a layer, the first ones in the order of
// rank, token and slot. Which choices are dropped does not depend on how the tokens are split over
// the ranks, nor on later tokens. Lasts for one forward and backward pass. Not thread safe.
class ExpertCapacity {
 public:
  // `ranks` is not owned; null: this process alone. They all drop the same layers in the same
  // order.
  ExpertCapacity(double factor, int64_t layers, int64_t experts, Communicator* ranks);

  // kept = chosen, with -1 where a choice is dropped; both [T, k]. The first call for a layer asks
  // the other ranks how often they chose each expert; when the layer is computed again, the answer
  // is remembered.
  Status Drop(int64_t layer, MatrixView<const int32_t> chosen, MatrixView<int32_t> kept);

 private:
  // How many choices each expert still takes after those of the ranks before this one, [experts].
  Result<std::vector<int64_t>> Room(MatrixView<const int32_t> chosen) const;

  double factor_;
  int64_t experts_;
  Communicator* ranks_;
  std::vector<std::vector<int64_t>> rooms_;  // per layer, empty until asked for
};

}  // namespace fulmen
