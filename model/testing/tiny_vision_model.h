// A model of random weights that reads images, small enough for many passes.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/thread_pool.h"
#include "images/tiles.h"
#include "model/synth.h"
#include "model/weights.h"
#include "tests/testing/golden.h"

namespace fulmen::testing {

// Two layers, one of them softmax, and 64 tokens, the last of which is the image token; tiles of 28
// in patches of 14, so a picture has 4 + 2 * (2 + 1) tokens or more.
class TinyVisionModel {
 public:
  static constexpr int32_t kImage = 63;

  TinyVisionModel() {
    ThreadPool pool(1);
    SynthOptions options;
    options.dtype = DType::kF32;
    const Status written =
        WriteRandomModel(Geometry(), options, folder_ / "m", pool, [](size_t) { return true; });
    FULMEN_CHECK(written, "{}", written.error().message);
    Result<Model> model = LoadModel(folder_ / "m");
    FULMEN_CHECK(model, "{}", model.error().message);
    model_.emplace(*std::move(model));
  }

  static Config Geometry() {
    Config config = PresetConfig("vl-small").value();
    config.layers = LayerPattern(2, 2);
    config.hidden_size = config.ffn_size = 32;
    config.heads = 2;
    config.kv_heads = 1;
    config.head_dim = 16;
    config.rotary_dim = 8;
    config.experts = 2;
    config.vocab_size = kImage + 1;
    config.vision->image_token = kImage;
    config.vision->tiles = {
        .tile = 28, .patch = 14, .pinpoints = {{28, 28}, {56, 28}, {28, 56}, {56, 56}}};
    config.vision->width = 32;
    config.vision->heads = 2;
    config.vision->ffn_size = 64;
    config.vision->layers = 2;
    return config;
  }

  const Model& operator*() const { return *model_; }
  const Model* operator->() const { return &*model_; }
  const std::string& path() const { return path_; }

  // A picture of noise, the same for the same seed.
  std::shared_ptr<const TiledImage> Picture(uint32_t seed, int64_t width, int64_t height) const {
    Image image = {.width = width, .height = height, .rgb = {}};
    for (int64_t i = 0; i < 3 * width * height; ++i) {
      seed = seed * 1664525 + 1013904223;
      image.rgb.push_back(static_cast<uint8_t>(seed >> 24));
    }
    Result<TiledImage> tiles = MakeTiles(image, model_->config.vision->tiles);
    FULMEN_CHECK(tiles, "{}", tiles.error().message);
    return std::make_shared<const TiledImage>(*std::move(tiles));
  }

 private:
  TemporaryFolder folder_;
  std::string path_ = folder_ / "m";
  std::optional<Model> model_;
};

}  // namespace fulmen::testing
