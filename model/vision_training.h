// The images of a step of training: forward through tower and projector into the rows of text, and
// back.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/compute.h"
#include "model/vision_pass.h"
#include "model/weights.h"

namespace fulmen {

// Of all images of a packed batch.
struct PackedImages {
  std::vector<float> patches;  // [tiles * P, 3 * patch * patch], as WriteTilePatches gives them
  // Rows first, first + 1, … of the batch are made of these rows of the tower's output over all
  // tiles, or of kNewline (model/vision.h). By `first`; no two overlap.
  struct Span {
    int64_t first;
    std::vector<int64_t> rows;
  };
  std::vector<Span> spans;

  bool empty() const { return spans.empty(); }
};

// One batch. What Forward keeps lies in the scratch memory of its caller's frame; of the tower's
// layers that is their inputs alone, everything else is computed a second time.
class VisionTraining {
 public:
  // `gradients` is null where no backward pass follows; without `tower` it ends at the projector.
  VisionTraining(const Config& config, const Weights& weights, const Compute& compute,
                 const PackedImages& images, const VisionTensors<Matrix>* gradients, bool tower);

  // Writes the images' rows of `hidden` [T, hidden].
  void Forward(Matrix hidden);
  // dhidden: the gradient of what Forward wrote, whose rows become zero.
  void Backward(Matrix dhidden);

 private:
  int64_t RowsOf(int64_t values) const { return values / config_.vision->patch_values(); }
  void Copy(std::span<const float> from, Matrix to) const;
  void Zero(Matrix matrix) const;

  const Config& config_;
  const VisionWeights& weights_;
  const Compute& compute_;
  const PackedImages& images_;
  const VisionTensors<Matrix>* gradients_;
  const bool tower_;
  VisionPass pass_;
  std::vector<int64_t> wanted_;                // rows of hidden_.back() that the projector reads
  std::vector<std::vector<int64_t>> sources_;  // by span: rows of what it made, and of the newline
  Matrix patches_;
  Matrix sum_;                  // what the norm before the layers reads
  std::vector<Matrix> hidden_;  // before each layer, and behind the last
  Matrix projector_input_;
  ProjectorActivations projector_;
};

}  // namespace fulmen
