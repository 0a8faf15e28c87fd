// A model of random weights, small enough for thousands of passes, in each of the types that
// weights and caches are kept in.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/thread_pool.h"
#include "kernels/kv_cache.h"
#include "kernels/testing/test_weight.h"
#include "model/synth.h"
#include "model/tensor_table.h"
#include "model/weights.h"
#include "tests/testing/golden.h"

namespace fulmen::testing {

// Four layers, two of them softmax, and 64 tokens, the last of which is broken: its embedding is
// NaN. Of `weights` where these are quantized, else float32; with heads as `kv` wants them.
class TinyModel {
 public:
  static constexpr int32_t kBroken = 63;

  explicit TinyModel(DType weights = DType::kF32, DType kv = DType::kF32) {
    Config config = PresetConfig("small").value();
    config.layers = LayerPattern(4, 2);
    config.hidden_size = 24;
    config.heads = 4;
    config.kv_heads = 2;
    config.head_dim = kv == DType::kQ8_0 ? kKvGroup : 8;
    config.rotary_dim = 4;
    config.ffn_size = 20;
    config.experts = 4;
    config.experts_per_token = 2;
    config.vocab_size = 64;
    if (IsQuantized(weights)) {  // whole blocks
      config.hidden_size = config.ffn_size = 256;
      config.head_dim = 64;
    }
    ThreadPool pool(1);
    const Status written =
        WriteRandomModel(config, {}, folder_ / "m", pool, [](size_t) { return true; });
    FULMEN_CHECK(written, "{}", written.error().message);
    Result<Model> model = LoadModel(folder_ / "m");
    FULMEN_CHECK(model, "{}", model.error().message);
    model_.emplace(*std::move(model));
    embedding_ = Dequantize(model_->weights.token_embedding);
    std::fill_n(embedding_.begin() + kBroken * config.hidden_size, config.hidden_size, NAN);
    model_->weights.token_embedding =
        WeightMatrix(embedding_.data(), DType::kF32, config.vocab_size, config.hidden_size);
    if (IsQuantized(weights)) Quantize(weights);
  }

  const Model& operator*() const { return *model_; }
  const Model* operator->() const { return &*model_; }

 private:
  // Random blocks in place of the matrices that a file would have quantized.
  void Quantize(DType type) {
    ForEachTensor(model_->config, [&](const TensorRow& row, int64_t layer, int64_t expert) {
      WeightMatrix& weight = TensorAt<WeightMatrix>(model_->weights, row, layer, expert);
      if (weight.rows == 1 || row.Is(&ModelWeights::token_embedding) ||
          row.Is(&LayerWeights::router)) {
        return;
      }
      // Scores of a few units, so that attention chooses.
      quantized_.push_back(RandomBlocks(type, weight.rows * weight.cols, quantized_.size(), 0.01F));
      weight = WeightMatrix(quantized_.back().data(), type, weight.rows, weight.cols);
    });
  }

  TemporaryFolder folder_;
  std::optional<Model> model_;
  std::vector<float> embedding_;
  std::vector<std::vector<std::byte>> quantized_;
};

}  // namespace fulmen::testing
