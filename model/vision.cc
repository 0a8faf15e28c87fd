#include "model/vision.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace fulmen {
namespace {

// One call of the tower.
class Tower {
 public:
  Tower(const Model& model, const Compute& compute, int64_t tiles)
      : config_(*model.config.vision),
        weights_(model.weights.vision),
        compute_(compute),
        tiles_(tiles),
        tokens_(1 + config_.patches()) {
    for (int64_t tile = 0; tile <= tiles; ++tile) starts_.push_back(tile * tokens_);
  }

  int64_t rows() const { return tiles_ * tokens_; }

  // [tiles * (1 + P), width]: class token and patches of each tile, with their positions, normed.
  void Embed(ConstMatrix patches, Matrix hidden) const {
    const Workspace::Frame frame(compute_.context.scratch);
    // The embedded patches, and behind them the class token.
    const Matrix parts = Allocate(patches.rows + 1, config_.width);
    const Matrix embedded = parts.Rows(0, patches.rows);
    Linear(patches, {{weights_.patch_embedding, embedded}});
    const std::vector<int32_t> only = {0};
    compute_.kernels.embedding(compute_.context, only, weights_.class_embedding,
                               parts.Rows(patches.rows, 1));
    std::vector<int64_t> sources;
    std::vector<int32_t> positions;
    for (int64_t row = 0; row < rows(); ++row) {
      const int64_t position = row % tokens_;
      positions.push_back(static_cast<int32_t>(position));
      sources.push_back(position == 0 ? patches.rows
                                      : row / tokens_ * config_.patches() + position - 1);
    }
    compute_.kernels.gather_rows(compute_.context, parts, sources, hidden);
    const Matrix place = Allocate(rows(), config_.width);
    compute_.kernels.embedding(compute_.context, positions, weights_.position_embedding, place);
    compute_.kernels.residual(compute_.context, 1, hidden, 1, place, hidden);
    Norm(hidden, weights_.norm, weights_.norm_bias, hidden);
  }

  void Layer(const VisionLayerWeights& layer, Matrix hidden) const {
    const Workspace::Frame frame(compute_.context.scratch);
    Attention(layer, hidden);
    Mlp(layer, hidden);
  }

  // The patches alone.
  void WithoutClass(ConstMatrix hidden, Matrix out) const {
    std::vector<int64_t> sources;
    for (int64_t row = 0; row < rows(); ++row) {
      if (row % tokens_ != 0) sources.push_back(row);
    }
    compute_.kernels.gather_rows(compute_.context, hidden, sources, out);
  }

  Matrix Allocate(int64_t rows, int64_t cols) const {
    return compute_.context.scratch.AllocateMatrix(rows, cols);
  }

 private:
  void Linear(ConstMatrix x, std::initializer_list<Projection> projections) const {
    compute_.kernels.linear(compute_.context, x, projections);
  }
  void Norm(ConstMatrix x, const WeightMatrix& weight, const WeightMatrix& bias, Matrix out) const {
    compute_.kernels.layer_norm(compute_.context, x, weight, bias, config_.norm_epsilon, out);
  }
  void AddBias(Matrix x, const WeightMatrix& bias) const {
    compute_.kernels.add_bias(compute_.context, x, bias, x);
  }

  void Attention(const VisionLayerWeights& layer, Matrix hidden) const {
    const Workspace::Frame frame(compute_.context.scratch);
    const int64_t width = config_.width;
    const Matrix normed = Allocate(rows(), width);
    Norm(hidden, layer.attention_norm, layer.attention_norm_bias, normed);
    const Matrix queries = Allocate(rows(), width);
    const Matrix keys = Allocate(rows(), width);
    const Matrix values = Allocate(rows(), width);
    Linear(normed, {{layer.query, queries}, {layer.key, keys}, {layer.value, values}});
    AddBias(queries, layer.query_bias);
    AddBias(keys, layer.key_bias);
    AddBias(values, layer.value_bias);
    compute_.kernels.bidirectional_attention(
        compute_.context, {queries, keys, values, width / config_.heads, starts_}, normed, {});
    const Matrix& branch = queries;
    Linear(normed, {{layer.attention_output, branch}});
    AddBias(branch, layer.attention_output_bias);
    compute_.kernels.residual(compute_.context, 1, hidden, 1, branch, hidden);
  }

  void Mlp(const VisionLayerWeights& layer, Matrix hidden) const {
    const Workspace::Frame frame(compute_.context.scratch);
    const Matrix normed = Allocate(rows(), config_.width);
    Norm(hidden, layer.mlp_norm, layer.mlp_norm_bias, normed);
    const Matrix wide = Allocate(rows(), config_.ffn_size);
    Linear(normed, {{layer.up, wide}});
    compute_.kernels.bias_gelu(compute_.context, wide, layer.up_bias, wide);
    const Matrix& branch = normed;
    Linear(wide, {{layer.down, branch}});
    AddBias(branch, layer.down_bias);
    compute_.kernels.residual(compute_.context, 1, hidden, 1, branch, hidden);
  }

  const VisionConfig& config_;
  const VisionWeights& weights_;
  const Compute& compute_;
  int64_t tiles_;
  int64_t tokens_;  // of a tile, with its class token
  std::vector<int64_t> starts_;
};

}  // namespace

void VisionTower(const Model& model, const Compute& compute, ConstMatrix patches, Matrix out,
                 std::span<float> states) {
  FULMEN_CHECK(model.config.vision.has_value(), "the model reads no images");
  const VisionConfig& config = *model.config.vision;
  FULMEN_CHECK(patches.rows % config.patches() == 0 && patches.cols == config.patch_values() &&
                   out.rows == patches.rows && out.cols == config.width,
               "patches [{}, {}] and output [{}, {}]", patches.rows, patches.cols, out.rows,
               out.cols);
  const Tower tower(model, compute, patches.rows / config.patches());
  const Workspace::Frame frame(compute.context.scratch);
  const Matrix hidden = tower.Allocate(tower.rows(), config.width);
  const auto keep = [&] {
    if (states.empty()) return;
    const auto count = static_cast<size_t>(hidden.rows * hidden.cols);
    compute.kernels.copy(compute.context, std::as_bytes(std::span(hidden.data, count)),
                         std::as_writable_bytes(states.first(count)));
    states = states.subspan(count);
  };
  tower.Embed(patches, hidden);
  keep();
  for (const VisionLayerWeights& layer : model.weights.vision.layers) {
    tower.Layer(layer, hidden);
    keep();
  }
  tower.WithoutClass(hidden, out);
}

void Project(const Model& model, const Compute& compute, ConstMatrix x, Matrix out) {
  const VisionWeights& weights = model.weights.vision;
  const Workspace::Frame frame(compute.context.scratch);
  const Matrix middle = compute.context.scratch.AllocateMatrix(x.rows, out.cols);
  compute.kernels.linear(compute.context, x, {{weights.projector_in, middle}});
  compute.kernels.bias_gelu(compute.context, middle, weights.projector_in_bias, middle);
  compute.kernels.linear(compute.context, middle, {{weights.projector_out, out}});
  compute.kernels.add_bias(compute.context, out, weights.projector_out_bias, out);
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
