#include "model/vision_training.h"

#include "model/vision.h"

namespace fulmen {

VisionTraining::VisionTraining(const Config& config, const Weights& weights, const Compute& compute,
                               const PackedImages& images, const VisionTensors<Matrix>* gradients,
                               bool tower)
    : config_(config),
      weights_(weights.vision),
      compute_(compute),
      images_(images),
      gradients_(gradients),
      tower_(tower),
      pass_(*config.vision, weights.vision, compute,
            RowsOf(std::ssize(images.patches)) / config.vision->patches()) {
  for (const PackedImages::Span& span : images.spans) {
    for (const int64_t row : span.rows) {
      if (row != kNewline) wanted_.push_back(pass_.patch_rows()[static_cast<size_t>(row)]);
    }
  }
  int64_t next = 0;
  for (const PackedImages::Span& span : images.spans) {
    sources_.emplace_back();
    for (const int64_t row : span.rows) {
      sources_.back().push_back(row == kNewline ? std::ssize(wanted_) : next++);
    }
  }
}

void VisionTraining::Copy(std::span<const float> from, Matrix to) const {
  compute_.kernels.copy(compute_.context, std::as_bytes(from),
                        std::as_writable_bytes(std::span(to.data, from.size())));
}

void VisionTraining::Zero(Matrix matrix) const {
  Copy(std::vector<float>(static_cast<size_t>(matrix.rows * matrix.cols)), matrix);
}

void VisionTraining::Forward(Matrix hidden) {
  const int64_t width = config_.vision->width;
  patches_ = pass_.Allocate(RowsOf(std::ssize(images_.patches)), config_.vision->patch_values());
  Copy(images_.patches, patches_);
  sum_ = pass_.Allocate(pass_.rows(), width);
  pass_.Embed(patches_, sum_);
  hidden_ = {pass_.Allocate(pass_.rows(), width)};
  pass_.Norm(sum_, weights_.norm, weights_.norm_bias, hidden_.back());
  for (const VisionLayerWeights& layer : weights_.layers) {
    // Nothing of a tower that is not trained is needed again.
    const bool keep = gradients_ != nullptr && tower_;
    const Matrix output = keep ? pass_.Allocate(pass_.rows(), width) : hidden_.back();
    const Workspace::Frame frame(compute_.context.scratch);
    pass_.Layer(layer, hidden_.back(), output, pass_.Allocate(/*keep=*/false, output));
    if (keep) hidden_.push_back(output);
  }
  const int64_t rows = std::ssize(wanted_);
  projector_input_ = pass_.Allocate(rows, width);
  compute_.kernels.gather_rows(compute_.context, hidden_.back(), wanted_, projector_input_);
  projector_.wide = pass_.Allocate(rows, hidden.cols);
  projector_.active = pass_.Allocate(rows, hidden.cols);
  const Workspace::Frame frame(compute_.context.scratch);
  // What the projector makes, and behind it the newline.
  const Matrix parts = pass_.Allocate(rows + 1, hidden.cols);
  ProjectForward(weights_, compute_, projector_input_, projector_, parts.Rows(0, rows));
  const std::vector<int32_t> only = {0};
  compute_.kernels.embedding(compute_.context, only, weights_.newline, parts.Rows(rows, 1));
  for (size_t i = 0; i < images_.spans.size(); ++i) {
    compute_.kernels.gather_rows(compute_.context, parts, sources_[i],
                                 hidden.Rows(images_.spans[i].first, std::ssize(sources_[i])));
  }
}

void VisionTraining::Backward(Matrix dhidden) {
  const Workspace::Frame frame(compute_.context.scratch);
  const TrainingKernels& training = *compute_.training;
  const int64_t rows = std::ssize(wanted_);
  const Matrix dparts = pass_.Allocate(rows + 1, dhidden.cols);
  Zero(dparts);
  for (size_t i = 0; i < images_.spans.size(); ++i) {
    const std::vector<int32_t> sources(sources_[i].begin(), sources_[i].end());
    const Matrix part = dhidden.Rows(images_.spans[i].first, std::ssize(sources));
    training.embedding_backward(compute_.context, sources, part, dparts);
    Zero(part);
  }
  training.add_bias_backward(
      compute_.context, dparts.Rows(rows, 1),
      {gradients_->newline.data, static_cast<size_t>(gradients_->newline.cols)});
  const Matrix dinput = tower_ ? pass_.Allocate(rows, config_.vision->width) : Matrix();
  ProjectBackward(weights_, compute_, projector_input_, projector_, dparts.Rows(0, rows), dinput,
                  *gradients_);
  if (!tower_) return;
  const Matrix dtower = pass_.Allocate(pass_.rows(), config_.vision->width);
  Zero(dtower);
  const std::vector<int32_t> wanted(wanted_.begin(), wanted_.end());
  training.embedding_backward(compute_.context, wanted, dinput, dtower);
  for (size_t i = weights_.layers.size(); i-- > 0;) {
    const Workspace::Frame layer_frame(compute_.context.scratch);
    const Matrix output = pass_.Allocate(pass_.rows(), config_.vision->width);
    const VisionActivations a = pass_.Allocate(/*keep=*/true, output);
    pass_.Layer(weights_.layers[i], hidden_[i], output, a);
    pass_.LayerBackward(weights_.layers[i], hidden_[i], a, dtower, gradients_->layers[i]);
  }
  pass_.NormBackward(sum_, weights_.norm, dtower, {}, dtower, gradients_->norm,
                     gradients_->norm_bias);
  pass_.EmbedBackward(patches_, dtower, *gradients_);
}

}  // namespace fulmen
