#include "train/initialize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace fulmen {
namespace {

ModelSection Small() {
  ModelSection model;
  model.hidden_size = 96;
  model.layers = 3;
  model.softmax_every = 3;
  model.heads = 4;
  model.kv_heads = 2;
  model.head_dim = 32;
  model.rotary_dim = 16;
  model.experts = 4;
  model.intermediate_size = 48;
  return model;
}

double Deviation(std::span<const float> values) {
  double squares = 0;
  for (const float x : values) squares += static_cast<double>(x) * x;
  return std::sqrt(squares / static_cast<double>(values.size()));
}

Parameters Initialized(const Config& config, uint64_t seed, int threads) {
  ThreadPool pool(threads);
  Parameters weights(config);
  InitializeWeights(config, seed, pool, weights);
  return weights;
}

TEST(InitializeWeights, HasTheDeviationsOfDeepNorm) {
  const Config config = *ModelConfig(Small(), 1000, {});
  const Parameters weights = Initialized(config, 1, 2);
  const double beta = std::pow(8.0 * 3, -0.25);
  const auto xavier = [](double in, double out) { return std::sqrt(2 / (in + out)); };
  int matrices = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const TensorInstance& tensor = weights.tensor(i);
    const std::span<const float> values = weights.values(i);
    if (tensor.shape.size() == 1) {
      EXPECT_TRUE(std::ranges::all_of(values, [](float x) { return x == 1; })) << tensor.name;
      continue;
    }
    ++matrices;
    double expected = 0;
    const auto rows = static_cast<double>(tensor.shape[0]);
    const auto cols = static_cast<double>(tensor.shape[1]);
    const TensorRow& row = *tensor.row;
    if (row.Is(&ModelWeights::token_embedding)) {
      expected = 1 / std::sqrt(96.0);
    } else if (row.Is(&LayerWeights::qkv)) {
      // Two parts at the plain deviation, the values at beta times it.
      expected = xavier(96, 128) * std::sqrt((2 + beta * beta) / 3);
    } else if (row.Is(&LayerWeights::router)) {
      expected = 0.1 * xavier(cols, rows);
    } else if (row.Is(&ModelWeights::head) || row.Is(&LayerWeights::query) ||
               row.Is(&LayerWeights::key) || row.Is(&LayerWeights::output_gate)) {
      expected = xavier(cols, rows);
    } else {
      expected = beta * xavier(cols, rows);
    }
    // The deviation of n normal numbers has itself one of 1 / sqrt(2 n); five of these.
    const double error = 5 / std::sqrt(2.0 * static_cast<double>(values.size()));
    EXPECT_NEAR(Deviation(values) / expected, 1, error) << tensor.name;
  }
  EXPECT_EQ(matrices, 2 + 2 * 3 + 4 + 3 * (1 + 3 * 4));
}

TEST(InitializeWeights, ScalesTheValuesOfTheFusedMatrixAlone) {
  const Config config = *ModelConfig(Small(), 1000, {});
  const Parameters weights = Initialized(config, 1, 2);
  size_t index = 0;
  while (!weights.tensor(index).row->Is(&LayerWeights::qkv)) ++index;
  const double plain = std::sqrt(2.0 / (96 + 128));
  const double beta = std::pow(8.0 * 3, -0.25);
  constexpr size_t kPart = 32 * 96;  // rows of one head's q, k or v
  const std::span<const float> qkv = weights.values(index);
  for (size_t part = 0; part < 3 * 4; ++part) {
    const double expected = part % 3 == 2 ? plain * beta : plain;
    EXPECT_NEAR(Deviation(qkv.subspan(part * kPart, kPart)) / expected, 1,
                5 / std::sqrt(2.0 * kPart))
        << part;
  }
}

TEST(InitializeWeights, DependsOnTheSeedAlone) {
  const Config config = *ModelConfig(Small(), 1000, {});
  Parameters one = Initialized(config, 5, 1);
  Parameters four = Initialized(config, 5, 4);
  Parameters other = Initialized(config, 6, 1);
  EXPECT_TRUE(std::ranges::equal(one.all(), four.all()));
  EXPECT_FALSE(std::ranges::equal(one.values(0), other.values(0)));
  // No two tensors are drawn from the same numbers.
  std::set<float> seen;
  for (size_t i = 0; i < one.size(); ++i) {
    if (one.tensor(i).row->Is(&ExpertWeights::up)) {
      EXPECT_TRUE(seen.insert(one.values(i)[0]).second) << one.tensor(i).name;
    }
  }
  EXPECT_EQ(seen.size(), 3U * 4);
}

TEST(ModelConfig, TakesTheGeometry) {
  ModelSection model = Small();
  const Config config = *ModelConfig(model, 1000, {7});
  EXPECT_EQ(config.vocab_size, 1000);
  EXPECT_EQ(config.eos_ids, std::vector<int32_t>{7});
  EXPECT_EQ(config.layers, (std::vector<LayerKind>{LayerKind::kLightning, LayerKind::kLightning,
                                                   LayerKind::kSoftmax}));
  EXPECT_FLOAT_EQ(config.mlp_residual.alpha, std::pow(6.0F, 0.25F));
  model.attn_type_list = {1, 0, 0};
  model.post_norm = false;
  const Config other = *ModelConfig(model, 1000, {});
  EXPECT_EQ(other.layers[0], LayerKind::kSoftmax);
  EXPECT_EQ(other.layers[2], LayerKind::kLightning);
  EXPECT_EQ(other.mlp_residual.alpha, 1);
}

TEST(InitializeWeights, TheVisionHalfHasItsOwn) {
  Config config = *ModelConfig(Small(), 1000, {});
  VisionSection section = {.width = 64,
                           .heads = 4,
                           .layers = 4,
                           .intermediate_size = 256,
                           .tile = 56,
                           .patch = 7,
                           .grids = {{1, 1}, {2, 1}}};
  EXPECT_FALSE(AddVision(section, std::nullopt, config));
  ASSERT_TRUE(AddVision(section, 999, config));
  EXPECT_EQ(config.vision->image_token, 999);
  EXPECT_EQ(config.vision->tiles.pinpoints, (std::vector<Size>{{56, 56}, {112, 56}}));
  EXPECT_FALSE(AddVision(section, 999, config)) << "twice";
  const Parameters weights = Initialized(config, 1, 2);
  for (size_t i = 0; i < weights.size(); ++i) {
    const TensorInstance& tensor = weights.tensor(i);
    if (!tensor.row->in_vision()) continue;
    double expected = 1;  // norms
    if (tensor.name.ends_with(".bias")) {
      expected = 0;
    } else if (tensor.row->Is(&VisionWeights::newline)) {
      expected = 1 / std::sqrt(96.0);
    } else if (tensor.name.find("_embedding") != std::string::npos &&
               !tensor.row->Is(&VisionWeights::patch_embedding)) {
      expected = 0.02;
    } else if (tensor.row->Is(&VisionWeights::patch_embedding)) {
      expected = 1 / std::sqrt(3.0 * 7 * 7);
    } else if (tensor.shape.size() == 2) {
      expected = 1 / std::sqrt(static_cast<double>(tensor.shape[1]));
    }
    const double tolerance = ElementCount(tensor.shape) < 1000 ? 0.3 : 0.05;
    EXPECT_NEAR(Deviation(weights.values(i)), expected, tolerance * expected) << tensor.name;
  }
}

TEST(InitializeWeights, TilesAreThoseOfTheReleasedModelUnlessGridsAreGiven) {
  EXPECT_EQ(TilesOf({}).pinpoints, ReleasedPinpoints());
  VisionSection small;
  small.tile = 56;
  EXPECT_EQ(TilesOf(small).pinpoints.back(), (Size{168, 336}));
}

}  // namespace
}  // namespace fulmen
