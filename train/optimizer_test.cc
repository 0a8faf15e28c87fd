#include "train/optimizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "model/synth.h"

namespace fulmen {
namespace {

Config TinyConfig() {
  Config config;
  config.architecture = "MiniMaxText01ForCausalLM";
  config.vocab_size = 11;
  config.hidden_size = 8;
  config.ffn_size = 4;
  config.heads = config.kv_heads = 2;
  config.head_dim = 4;
  config.rotary_dim = 2;
  config.experts = 2;
  config.experts_per_token = 1;
  config.layers = LayerPattern(2, 2);
  return config;
}

// The same behind a tower of two layers.
Config VisionConfigOf(Config config) {
  VisionConfig vision = {.tiles = {.tile = 4, .patch = 2, .pinpoints = {{4, 4}}},
                         .normalisation = ClipNormalisation()};
  vision.width = 6;
  vision.heads = 2;
  vision.ffn_size = 7;
  vision.layers = 2;
  config.architecture = "MiniMaxVL01ForConditionalGeneration";
  config.vision = vision;
  return config;
}

class OptimizerTest : public ::testing::Test {
 protected:
  OptimizerTest() {
    std::ranges::fill(weights_.all(), 1.0F);
    options_.learning_rate = 0.5;
    options_.weight_decay = 0.25;
    options_.clip = 0;
  }

  void Step(double norm = 1) { optimizer_.Step(options_, compute_, gradients_, norm, weights_); }
  float Weight(const std::string& name) const {
    for (size_t i = 0; i < weights_.size(); ++i) {
      if (weights_.tensor(i).name == name) return weights_.values(i)[0];
    }
    return NAN;
  }

  const Config config_ = TinyConfig();
  ThreadPool pool_{1};
  Workspace scratch_{/*poison=*/true};
  KernelContext context_{pool_, scratch_};
  Compute compute_{RefTrainingKernels(), context_};
  Parameters weights_{config_};
  Parameters gradients_{config_};
  Optimizer optimizer_{config_};
  OptimizerOptions options_;
};

TEST_F(OptimizerTest, DecaysOnlyTheTensorsThatAreNotExempt) {
  Step();
  const float decayed = 1 - 0.5F * 0.25F;
  EXPECT_EQ(Weight("lm_head.weight"), decayed);
  EXPECT_EQ(Weight("model.layers.0.self_attn.qkv_proj.weight"), decayed);
  EXPECT_EQ(Weight("model.layers.1.self_attn.q_proj.weight"), decayed);
  EXPECT_EQ(Weight("model.layers.1.block_sparse_moe.gate.weight"), decayed);
  EXPECT_EQ(Weight("model.embed_tokens.weight"), 1);
  EXPECT_EQ(Weight("model.norm.weight"), 1);
  EXPECT_EQ(Weight("model.layers.0.self_attn.norm.weight"), 1);
  EXPECT_EQ(Weight("model.layers.0.input_layernorm.weight"), 1);
  EXPECT_EQ(Weight("model.layers.1.post_attention_layernorm.weight"), 1);
}

TEST_F(OptimizerTest, ClippingScalesTheGradientsToTheNorm) {
  std::ranges::fill(gradients_.values(0), 3.0F);
  const double norm = GlobalNorm(compute_, gradients_);
  EXPECT_NEAR(norm, 3 * std::sqrt(11 * 8), 1e-5);
  options_.clip = 0.5;
  Step(norm);
  const float scaled = 3 * 0.5F / static_cast<float>(norm);
  EXPECT_NEAR(optimizer_.first_moments().values(0)[5], 0.1F * scaled, 1e-7F);
  EXPECT_NEAR(optimizer_.second_moments().values(0)[5], 0.05F * scaled * scaled, 1e-8F);
}

TEST_F(OptimizerTest, WhatIsFrozenStaysAndCountsItsOwnSteps) {
  const Config config = VisionConfigOf(TinyConfig());
  Parameters weights(config);
  Parameters gradients(config);
  Optimizer optimizer(config);
  std::ranges::fill(weights.all(), 1.0F);
  for (size_t i = 0; i < gradients.size(); ++i) std::ranges::fill(gradients.values(i), 2.0F);
  options_.trained = Trained::kProjector;
  // Twice [8, 6] and [8, 8] with their biases, and the newline.
  const double numbers = 8 * 6 + 8 + 8 * 8 + 8 + 8;
  const double norm = GlobalNorm(compute_, gradients, options_.trained);
  EXPECT_NEAR(norm, 2 * std::sqrt(numbers), 1e-5);
  const auto moved = [&] {
    std::array<double, kParts> count = {};
    for (size_t i = 0; i < weights.size(); ++i) {
      for (const float x : weights.values(i)) {
        if (x != 1) ++count[static_cast<size_t>(PartOf(weights.tensor(i)))];
      }
    }
    return count;
  };
  optimizer.Step(options_, compute_, gradients, norm, weights);
  EXPECT_EQ(moved(), (std::array<double, kParts>{0, 0, numbers}));
  options_.trained = Trained::kVision;
  optimizer.Step(options_, compute_, gradients, norm, weights);
  EXPECT_EQ(moved()[0], 0);
  EXPECT_GT(moved()[1], 0);
  options_.trained = Trained::kAll;
  optimizer.Step(options_, compute_, gradients, norm, weights);
  EXPECT_GT(moved()[0], 0);
  EXPECT_EQ(optimizer.steps(), (Optimizer::Steps{1, 2, 3}));
  // The first step of a part moves it by the learning rate, whenever it comes.
  EXPECT_NEAR(weights.values(0)[0], 1 - 0.5, 1e-5) << "an embedding, which is not decayed";
}

TEST_F(OptimizerTest, TheTowersLayersLieInThePieceOfNoLayer) {
  Parameters weights(VisionConfigOf(TinyConfig()));
  for (int64_t layer = -1; layer < config_.layer_count(); ++layer) {
    const auto pieces = weights.LayerPieces(layer);
    EXPECT_EQ(pieces.size(), layer < 0 ? 2U : 1U);
    for (const std::span<float> piece : pieces) {
      for (float& x : piece) x += 1;
    }
  }
  EXPECT_TRUE(std::ranges::all_of(weights.all(), [](float x) { return x == 1; }));
}

TEST_F(OptimizerTest, LayersLieInOnePieceEach) {
  std::ranges::fill(weights_.all(), 0.0F);
  for (int64_t layer = -1; layer < config_.layer_count(); ++layer) {
    const auto pieces = weights_.LayerPieces(layer);
    EXPECT_EQ(pieces.size(), layer < 0 ? 2U : 1U);
    for (const std::span<float> piece : pieces) {
      for (float& x : piece) x += 1;
    }
  }
  EXPECT_TRUE(std::ranges::all_of(weights_.all(), [](float x) { return x == 1; }));
}

}  // namespace
}  // namespace fulmen
