#include "train/parameters.h"

#include <utility>

#include "base/check.h"

namespace fulmen {
namespace {

constexpr size_t kAlignment = 16;

int64_t TextLayer(const TensorInstance& tensor) {
  return tensor.row->in_vision() ? -1 : tensor.layer;
}

}  // namespace

Parameters::Parameters(const Config& config) : tensors_(ExpectedTensors(config)) {
  size_t end = 0;
  for (const TensorInstance& tensor : tensors_) {
    offsets_.push_back(end);
    end += (static_cast<size_t>(ElementCount(tensor.shape)) + kAlignment - 1) / kAlignment *
           kAlignment;
  }
  values_.resize(end);
}

Parameters::Parameters(const Config& config, const Weights& weights) : Parameters(config) {
  Copy(config, weights);
}

void Parameters::Copy(const Config& config, const Weights& weights) {
  const std::vector<WeightMatrix> stored = ListWeights(config, weights);
  for (size_t i = 0; i < stored.size(); ++i) {
    FULMEN_CHECK(i < size() && std::cmp_equal(values(i).size(), stored[i].rows * stored[i].cols),
                 "tensor {} of {} is another one", i, size());
    float* to = values(i).data();
    for (int64_t r = 0; r < stored[i].rows; ++r) {
      DequantizeRow(stored[i], r, to + r * stored[i].cols);
    }
  }
}

std::span<float> Parameters::values(size_t index) {
  return {values_.data() + offsets_[index],
          static_cast<size_t>(ElementCount(tensors_[index].shape))};
}

std::span<const float> Parameters::values(size_t index) const {
  return {values_.data() + offsets_[index],
          static_cast<size_t>(ElementCount(tensors_[index].shape))};
}

std::vector<std::span<float>> Parameters::LayerPieces(int64_t layer) {
  std::vector<std::span<float>> pieces;
  for (size_t i = 0; i < size();) {
    size_t next = i + 1;
    while (next < size() && TextLayer(tensors_[next]) == TextLayer(tensors_[i])) ++next;
    const size_t end = next < size() ? offsets_[next] : values_.size();
    if (TextLayer(tensors_[i]) == layer) {
      pieces.push_back(all().subspan(offsets_[i], end - offsets_[i]));
    }
    i = next;
  }
  return pieces;
}

Weights Parameters::AsWeights(const Config& config) const {
  std::vector<WeightMatrix> views;
  for (size_t i = 0; i < size(); ++i) {
    const auto* data = reinterpret_cast<const std::byte*>(values(i).data());
    views.push_back(AsWeight({data, DType::kF32, tensors_[i].shape}));
  }
  return ArrangeWeights(config, views);
}

Gradients Parameters::AsGradients(const Config& config) {
  std::vector<Matrix> views;
  for (size_t i = 0; i < size(); ++i) {
    const Shape& shape = tensors_[i].shape;
    const int64_t rows = shape.size() == 1 ? 1 : shape.front();
    views.emplace_back(values(i).data(), rows, ElementCount(shape) / rows);
  }
  return ArrangeGradients(config, views);
}

}  // namespace fulmen
