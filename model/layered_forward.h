// The forward pass over a long part of one sequence, cut into calls by layers instead of tokens. A
// few rows through all layers need all weights for these few; the same time spent on all rows of a
// layer needs one layer's. So a prompt is read beside sequences that decode, in the short time that
// a step leaves it, nearly as fast as alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "base/workspace.h"
#include "kernels/compute.h"
#include "model/state.h"
#include "model/weights.h"

namespace fulmen {

// Not thread safe. Of no use after a status that failed, and neither are the sequence and its
// forks.
class LayeredForward {
 public:
  // `sequence` has room for the tokens, at least one, each in [0, vocab). `forks`: as the snapshots
  // of a ForwardBatch, by position. Nobody may touch any of them until all layers are done; they
  // and what the others refer to must outlive this. The residual stream lies in `memory`, from
  // which nobody else allocates meanwhile.
  LayeredForward(const Model& model, const Compute& compute, std::span<const int32_t> tokens,
                 SequenceState& sequence, std::span<SequenceState* const> forks, Workspace& memory);
  LayeredForward(const LayeredForward&) = delete;
  LayeredForward& operator=(const LayeredForward&) = delete;

  // All layers have run, and the sequence has advanced.
  bool done() const { return layer_ == model_.config.layer_count(); }
  // What comes next: a layer, and which of its rows.
  LayerKind kind() const { return model_.config.layers[static_cast<size_t>(layer_)]; }
  int64_t row() const { return row_; }
  int64_t rows_left() const { return hidden_.rows - row_; }

  // Runs the next `rows` rows, at most those that are left, through the layer. Every row has the
  // bits that Forward gives it. Fails with kNonFinite as that does.
  Status Run(int64_t rows);

 private:
  void Finish();

  const Model& model_;
  Compute compute_;
  SequenceState* sequence_;
  std::vector<SequenceState*> forks_;
  Workspace::Frame memory_;
  Matrix hidden_;  // [T, hidden]: the residual stream, before row_ after layer_, from it on before
  int64_t layer_ = 0;
  int64_t row_ = 0;
};

}  // namespace fulmen
