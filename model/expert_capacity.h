// Token drop: an expert takes so many tokens of a layer and no more. MiniMax-01 report,
// section 2.1.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/matrix.h"
#include "base/status.h"
#include "parallel/communicator.h"

namespace fulmen {

// What the limit is counted over: one step of training, whatever batches and ranks it is split
// into.
struct CapacityStep {
  int64_t tokens = 0;  // of all its batches on all ranks
  // Choices of every expert in the batches before, on all ranks, [layers * E]; those of the
  // batches under way are added. Not owned; empty: none came before, nor are any to come.
  std::span<int64_t> choices = {};
  // Those that run a batch each at the same time, rank 0 the first of these. They all drop the same
  // layers in the same order. Not owned; null: this process alone.
  Communicator* ranks = nullptr;
};

// With n tokens in a step, an expert takes ceil(factor * n * k / experts) choices of a layer, the
// first ones in the order of batch, token and slot. Which choices are dropped so depends neither on
// how the tokens are split into batches, nor on who runs these, nor on later tokens: the report's
// global router, over a step. Lasts for one batch's forward and backward pass. Not thread safe.
class ExpertCapacity {
 public:
  ExpertCapacity(double factor, int64_t layers, int64_t experts, const CapacityStep& step);

  // kept = chosen, with -1 where a choice is dropped; both [T, k], in memory of the host, and maybe
  // the same. The first call for a layer asks the other ranks how often they chose each expert;
  // when the layer is computed again, the answer is remembered.
  Status Drop(int64_t layer, MatrixView<const int32_t> chosen, MatrixView<int32_t> kept);
  // Choices dropped so far; a layer that is computed again counts once.
  int64_t dropped() const { return dropped_; }

 private:
  // How many choices each expert still takes after those of earlier batches, [E].
  Result<std::vector<int64_t>> Room(int64_t layer, MatrixView<const int32_t> chosen) const;

  double factor_;
  int64_t experts_;
  CapacityStep step_;
  int64_t dropped_ = 0;
  std::vector<std::vector<int64_t>> rooms_;  // per layer, empty until asked for
};

}  // namespace fulmen
