#include "model/vision.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "model/vision_pass.h"

namespace fulmen {
void VisionTower(const Model& model, const Compute& compute, ConstMatrix patches, Matrix out,
                 std::span<float> states) {
  FULMEN_CHECK(model.config.vision.has_value(), "the model reads no images");
  const VisionConfig& config = *model.config.vision;
  FULMEN_CHECK(patches.rows % config.patches() == 0 && patches.cols == config.patch_values() &&
                   out.rows == patches.rows && out.cols == config.width,
               "patches [{}, {}] and output [{}, {}]", patches.rows, patches.cols, out.rows,
               out.cols);
  const VisionWeights& weights = model.weights.vision;
  const VisionPass pass(config, weights, compute, patches.rows / config.patches());
  const Workspace::Frame frame(compute.context.scratch);
  const Matrix hidden = pass.Allocate(pass.rows(), config.width);
  const auto keep = [&] {
    if (states.empty()) return;
    const auto count = static_cast<size_t>(hidden.rows * hidden.cols);
    compute.kernels.copy(compute.context, std::as_bytes(std::span(hidden.data, count)),
                         std::as_writable_bytes(states.first(count)));
    states = states.subspan(count);
  };
  pass.Embed(patches, hidden);
  pass.Norm(hidden, weights.norm, weights.norm_bias, hidden);
  keep();
  const VisionActivations activations = pass.Allocate(/*keep=*/false, hidden);
  for (const VisionLayerWeights& layer : weights.layers) {
    pass.Layer(layer, hidden, hidden, activations);
    keep();
  }
  compute.kernels.gather_rows(compute.context, hidden, pass.patch_rows(), out);
}

void Project(const Model& model, const Compute& compute, ConstMatrix x, Matrix out) {
  const Workspace::Frame frame(compute.context.scratch);
  const Matrix wide = compute.context.scratch.AllocateMatrix(x.rows, out.cols);
  ProjectForward(model.weights.vision, compute, x, {wide, wide}, out);
}

void FeatureRows(const TileGeometry& geometry, int64_t first, std::span<int64_t> out) {
  const int64_t side = geometry.tile / geometry.patch;
  for (size_t i = 0; i < out.size(); ++i) {
    int64_t token = first + static_cast<int64_t>(i);
    if (token < side * side) {  // the thumbnail
      out[i] = token;
      continue;
    }
    token -= side * side;
    const int64_t row = geometry.feature_top + token / (geometry.feature_cols + 1);
    const int64_t column = token % (geometry.feature_cols + 1);
    if (column == geometry.feature_cols) {
      out[i] = kNewline;
      continue;
    }
    const int64_t at = geometry.feature_left + column;
    const int64_t tile = 1 + row / side * geometry.tile_columns() + at / side;
    out[i] = (tile * side + row % side) * side + at % side;
  }
}

void PackFeatures(const Model& model, const Compute& compute, ConstMatrix features,
                  std::span<const int64_t> rows, Matrix out) {
  const Workspace::Frame frame(compute.context.scratch);
  Workspace& scratch = compute.context.scratch;
  std::vector<int64_t> wanted;  // rows of the tower's output
  std::vector<int64_t> sources;
  const int64_t count = std::ranges::count_if(rows, [](int64_t row) { return row != kNewline; });
  for (const int64_t row : rows) {
    sources.push_back(row == kNewline ? count : std::ssize(wanted));
    if (row != kNewline) wanted.push_back(row);
  }
  // The projected ones, and behind them the newline.
  const Matrix parts = scratch.AllocateMatrix(count + 1, out.cols);
  if (count > 0) {
    const Matrix gathered = scratch.AllocateMatrix(count, features.cols);
    compute.kernels.gather_rows(compute.context, features, wanted, gathered);
    Project(model, compute, gathered, parts.Rows(0, count));
  }
  const std::vector<int32_t> only = {0};
  compute.kernels.embedding(compute.context, only, model.weights.vision.newline,
                            parts.Rows(count, 1));
  compute.kernels.gather_rows(compute.context, parts, sources, out);
}

ImageFeatures::ImageFeatures(std::shared_ptr<const TiledImage> image, const VisionConfig& vision,
                             MemorySource& memory)
    : image_(std::move(image)),
      rows_((1 + image_->geometry.tiles) * vision.patches()),
      width_(vision.width),
      data_(static_cast<float*>(memory.Allocate(ArrayBytes({rows_, width_}, sizeof(float)))),
            Free{&memory}) {}

ConstMatrix ImageFeatures::matrix() const { return {data_.get(), rows_, width_}; }

void ImageFeatures::Encode(const Model& model, const Compute& compute, int64_t tiles) {
  const VisionConfig& vision = *model.config.vision;
  tiles = std::min(tiles, tiles_left());
  if (tiles == 0) return;
  const int64_t rows = tiles * vision.patches();
  std::vector<float> host(static_cast<size_t>(rows * vision.patch_values()));
  for (int64_t i = 0; i < tiles; ++i) {
    const Matrix patches(host.data() + i * vision.patches() * vision.patch_values(),
                         vision.patches(), vision.patch_values());
    WriteTilePatches(*image_, vision.normalisation, done_ + i, patches);
  }
  const Workspace::Frame frame(compute.context.scratch);
  const Matrix patches = compute.context.scratch.AllocateMatrix(rows, vision.patch_values());
  compute.kernels.copy(compute.context, std::as_bytes(std::span(host)),
                       std::as_writable_bytes(std::span(patches.data, host.size())));
  const Matrix all(data_.get(), rows_, width_);
  VisionTower(model, compute, patches, all.Rows(done_ * vision.patches(), rows));
  done_ += tiles;
}

double TowerFlops(const VisionConfig& vision, int64_t tiles) {
  const auto width = static_cast<double>(vision.width);
  const auto tokens = static_cast<double>(1 + vision.patches());
  const double layer =
      tokens * (8 * width * width + 4 * width * static_cast<double>(vision.ffn_size)) +
      4 * tokens * tokens * width;
  const double embedding =
      2 * static_cast<double>(vision.patches() * vision.patch_values()) * width;
  return static_cast<double>(tiles) * (static_cast<double>(vision.layers) * layer + embedding);
}

}  // namespace fulmen
