// The forward pass over a batch of sequences, written once over the kernel table.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/matrix.h"
#include "base/status.h"
#include "kernels/compute.h"
#include "model/state.h"
#include "model/weights.h"

namespace fulmen {

// Some tokens of each of S sequences, to be read together: every weight they use is read once.
struct ForwardBatch {
  std::vector<int32_t> tokens;                 // [T] end to end, in [0, vocab)
  std::vector<int64_t> starts = {0};           // [S + 1]: borders of the sequences
  std::vector<SequenceState*> sequences = {};  // [S]; not owned, each once, of one pool, with room
                                               // for its tokens
  std::vector<int64_t> logit_rows = {};        // [N] of the T rows, those whose logits are wanted
  // What the batch leaves at a position within it, besides what its sequences are at its end.
  struct Snapshot {
    int64_t sequence;     // index into `sequences`
    SequenceState* fork;  // ForkAt() of it, after at least one of its tokens; not owned
  };
  std::vector<Snapshot> snapshots = {};  // by sequence, then by position
  // Rows of the batch that are read as rows of an image: their tokens count for nothing.
  struct ImageRows {
    int64_t first;              // of the T rows
    ConstMatrix features;       // the tower's output over all tiles of the image
    std::vector<int64_t> rows;  // one for each, of FeatureRows() (model/vision.h)
  };
  std::vector<ImageRows> images = {};

  // `logits`: of how many of the last tokens the logits are wanted.
  void Add(std::span<const int32_t> ids, SequenceState& sequence, int64_t logits);
};

struct LayerActivations;

// Hears of what a pass computes. The matrices lie in the device's memory, until the call returns.
class ForwardObserver {
 public:
  virtual ~ForwardObserver() = default;
  // With `moe` of the activations, which is kept for it.
  virtual void OnLayer(int64_t layer, const LayerActivations& activations) = 0;
  // [T, hidden], after the last norm.
  virtual void OnHidden(ConstMatrix hidden) = 0;
};

// Optional copies of intermediate results, for tests and `eval logits`. A null pointer is not
// captured.
struct ForwardCapture {
  float* hidden = nullptr;     // [layers + 1, T, hidden]: input of each layer; last: after the norm
  int32_t* experts = nullptr;  // [layers, T, k]
  float* routing_weights = nullptr;  // [layers, T, k]
  ForwardObserver* observer = nullptr;
};

// Runs the batch; each sequence advances past its tokens. Writes `logits` [N, vocab]. The status of
// each sequence: kNonFinite, naming the first layer whose output was not finite, leaves that one's
// memory and logits unusable and concerns no other. A token's bits depend on the tokens of its
// sequence up to it and on nothing else, neither on how they were cut into batches nor on
// others. The forks of a sequence that failed are unusable as well.
std::vector<Status> Forward(const Model& model, const Compute& compute, const ForwardBatch& batch,
                            Matrix logits, const ForwardCapture& capture = {});

// One sequence alone, making room first; logits of the last logits.rows tokens.
Status Forward(const Model& model, const Compute& compute, std::span<const int32_t> tokens,
               SequenceState& sequence, Matrix logits, const ForwardCapture& capture = {});

}  // namespace fulmen
