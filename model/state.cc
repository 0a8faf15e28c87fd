#include "model/state.h"

#include <algorithm>

#include "base/check.h"

namespace fulmen {

SequenceState::SequenceState(const Config& config)
    : heads_(config.heads), kv_heads_(config.kv_heads), head_dim_(config.head_dim) {
  layers_.resize(config.layers.size());
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    if (config.layers[layer] == LayerKind::kLightning) {
      layers_[layer].lightning.assign(static_cast<size_t>(heads_ * head_dim_ * head_dim_), 0.0F);
    }
  }
}

SequenceState SequenceState::Clone() const {
  SequenceState copy;
  copy.heads_ = heads_;
  copy.kv_heads_ = kv_heads_;
  copy.head_dim_ = head_dim_;
  copy.position_ = position_;
  for (const LayerState& layer : layers_) {
    LayerState& layer_copy = copy.layers_.emplace_back();
    layer_copy.lightning = layer.lightning;
    for (const float* page : layer.page_pointers) {
      layer_copy.pages.emplace_back(new float[static_cast<size_t>(PageElements())]);
      std::copy_n(page, PageElements(), layer_copy.pages.back().get());
      layer_copy.page_pointers.push_back(layer_copy.pages.back().get());
    }
  }
  return copy;
}

Matrix SequenceState::lightning(int64_t layer) {
  std::vector<float>& state = layers_.at(static_cast<size_t>(layer)).lightning;
  FULMEN_CHECK(!state.empty(), "layer {} is a softmax layer", layer);
  return Matrix(state.data(), heads_ * head_dim_, head_dim_);
}

void SequenceState::StoreKv(int64_t layer, ConstMatrix keys, ConstMatrix values) {
  FULMEN_CHECK(
      keys.cols == kv_heads_ * head_dim_ && values.cols == keys.cols && values.rows == keys.rows,
      "keys {}x{}, values {}x{}", keys.rows, keys.cols, values.rows, values.cols);
  LayerState& state = layers_.at(static_cast<size_t>(layer));
  for (int64_t t = 0; t < keys.rows; ++t) {
    const auto page = static_cast<size_t>((position_ + t) / kPageTokens);
    const int64_t slot = (position_ + t) % kPageTokens;
    if (page == state.pages.size()) {
      // Left uninitialised: kernels never let entries past the sequence's end count.
      state.pages.emplace_back(new float[static_cast<size_t>(PageElements())]);
      state.page_pointers.push_back(state.pages.back().get());
    }
    for (int64_t head = 0; head < kv_heads_; ++head) {
      float* key = state.pages[page].get() + (head * kPageTokens + slot) * head_dim_;
      float* value = key + kv_heads_ * kPageTokens * head_dim_;
      std::copy_n(keys.row(t) + head * head_dim_, head_dim_, key);
      std::copy_n(values.row(t) + head * head_dim_, head_dim_, value);
    }
  }
}

KvPages SequenceState::kv(int64_t layer) const {
  return KvPages{layers_.at(static_cast<size_t>(layer)).page_pointers, kPageTokens, kv_heads_,
                 head_dim_};
}

int64_t KvBytesPerToken(const Config& config) {
  const auto softmax_layers =
      std::count(config.layers.begin(), config.layers.end(), LayerKind::kSoftmax);
  return softmax_layers * 2 * config.kv_size() * static_cast<int64_t>(sizeof(float));
}

int64_t LightningStateBytes(const Config& config) {
  const auto lightning_layers =
      std::count(config.layers.begin(), config.layers.end(), LayerKind::kLightning);
  return lightning_layers * config.attention_size() * config.head_dim *
         static_cast<int64_t>(sizeof(float));
}

}  // namespace fulmen
