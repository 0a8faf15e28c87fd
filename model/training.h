// One step's losses and gradients: the forward pass over packed documents, and the backward pass.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/status.h"
#include "kernels/compute.h"
#include "model/expert_capacity.h"
#include "model/vision_training.h"
#include "model/weights.h"

namespace fulmen {

// Documents packed end to end. Every document stands alone: no attention, state or target crosses
// its border, and positions restart at 0.
struct PackedBatch {
  std::vector<int32_t> tokens;   // [T], in [0, vocab)
  std::vector<int32_t> targets;  // [T]: the token each position is to predict, or -1
  std::vector<int64_t> starts;   // borders of the documents, rising from 0 to T
  PackedImages images = {};      // that some of the tokens stand for

  // Appends a document whose every token but the first is a target.
  void Add(std::span<const int32_t> document);
  int64_t PredictedTokens() const;
};

struct LossOptions {
  float auxiliary = 0.01F;  // weight of the load-balance loss
  float z = 0;              // weight of the router z-loss
  // A step of several batches: tokens predicted in all of them, and the share of this batch in the
  // router's losses. 0: this batch is the step.
  int64_t step_predicted_tokens = 0;
  float step_share = 1;
  // Keeps only each layer's input, and what softmax attention gave, and computes the rest a second
  // time: less memory, more work. The last layer keeps all, for the backward pass begins with it.
  bool recompute = false;
  // Whether the gradients of the vision tower are wanted; those of the projector always are.
  bool vision_tower = true;
  // An expert takes at most ceil(capacity * tokens * k / E) choices of a layer in the whole step,
  // see ExpertCapacity; the rest are dropped. The weights of a token's other choices stay as they
  // are. 0: no limit.
  float capacity = 0;
  // Of that step; with 0 tokens this batch is the step. Ranks run the functions below equally
  // often, with the same options.
  CapacityStep capacity_step = {};
  // Called when the gradients of a layer are complete, from the last layer to the first, and with
  // layer -1 when all others are; for an all-reduce that overlaps the layers still to come.
  std::function<Status(int64_t layer)> gradients_ready;
};

struct Losses {
  double cross_entropy = 0;  // mean over the predicted tokens of the step
  double auxiliary = 0;  // E * sum over slot and expert of (share of tokens whose slot-th choice is
                         // the expert) * (mean router probability), over all layers' tokens
  double z = 0;          // mean over all layers' tokens of logsumexp(router logits)^2
  double total = 0;      // cross_entropy + options.auxiliary * auxiliary + options.z * z
  std::vector<double> choices;  // [layers * experts]: tokens that chose the expert, in any slot
  double dropped = 0;           // share of these choices that the capacity dropped
};

// `compute` has the operations of training. Adds the gradients of the total loss to `gradients`.
// Fails with kNonFinite, naming the first layer whose output was not finite, or the head where the
// cross-entropy was not.
Result<Losses> ForwardBackward(const Config& config, const Weights& weights, const Compute& compute,
                               const PackedBatch& batch, const LossOptions& options,
                               const Gradients& gradients);

// The same losses without a backward pass, in the memory of one layer; `recompute` and
// `gradients_ready` have no meaning here.
Result<Losses> ForwardLosses(const Config& config, const Weights& weights, const Compute& compute,
                             const PackedBatch& batch, const LossOptions& options);

}  // namespace fulmen
