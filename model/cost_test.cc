#include "model/cost.h"

#include <gtest/gtest.h>

#include "model/state.h"
#include "model/synth.h"

namespace fulmen {
namespace {

// The largest numbers that a config may hold, all at once: sums and products of them must not
// overflow.
Config LargestConfig(int64_t softmax_every) {
  Config config = PresetConfig("small").value();
  config.layers = LayerPattern(kMaxLayers, softmax_every);
  SetDeepNorm(config);
  config.vocab_size = int64_t{1} << 24;
  config.hidden_size = config.ffn_size = int64_t{1} << 19;
  config.heads = config.kv_heads = int64_t{1} << 14;
  config.head_dim = int64_t{1} << 6;
  config.rotary_dim = config.head_dim;
  config.experts = config.experts_per_token = 16;
  config.max_position = (int64_t{1} << 31) - 1;
  const Result<Config> parsed = ParseConfig(ConfigToJson(config, "float32"), "the largest");
  EXPECT_TRUE(parsed) << parsed.error().message;
  return config;
}

void ExpectNear(double actual, double expected) { EXPECT_NEAR(actual, expected, 1e-3 * expected); }

TEST(Cost, OfTheLargestConfigs) {
  constexpr double kLayers = 0x1p14, kWidth = 0x1p19, kAttention = 0x1p20, kVocabulary = 0x1p24;
  const double experts = kLayers * 16 * 3 * kWidth * kWidth;
  const Config softmax = LargestConfig(1);
  const double softmax_parameters = experts + kLayers * 4 * kWidth * kAttention;
  ExpectNear(static_cast<double>(ActiveParameterCount(softmax)), softmax_parameters);
  ExpectNear(static_cast<double>(ParameterCount(softmax)),
             softmax_parameters + 2 * kVocabulary * kWidth);
  ExpectNear(static_cast<double>(KvBytesPerToken(softmax, DType::kF32)),
             kLayers * 2 * kAttention * 4);
  const double tokens = static_cast<double>(softmax.max_position);
  const double attention = kLayers * 2 * kAttention * tokens * tokens;
  ExpectNear(ForwardFlops(softmax, softmax.max_position, 0, softmax.max_position),
             2 * tokens * (softmax_parameters + kVocabulary * kWidth) + attention);

  const Config lightning = LargestConfig(0);
  ExpectNear(static_cast<double>(ActiveParameterCount(lightning)),
             experts + kLayers * 5 * kWidth * kAttention);
  ExpectNear(static_cast<double>(LightningMemoryBytes(lightning)),
             kLayers * kAttention * (64 + 2 * kLightningBlock) * 4);
}

// Of a token: all weights once but for the experts not chosen and the embedding's other rows.
TEST(Cost, DecodingReadsEachWeightItUsesOnce) {
  Model model;
  model.config = PresetConfig("small").value();
  for (const bool tied : {false, true}) {
    model.config.tied_embeddings = tied;
    std::vector<WeightMatrix> weights;
    for (const TensorInstance& tensor : ExpectedTensors(model.config)) {
      weights.push_back(AsWeight({nullptr, DType::kBF16, tensor.shape}));
    }
    model.weights = ArrangeWeights(model.config, weights);
    const auto read = static_cast<double>(ActiveParameterCount(model.config)) + 32000 * 1024;
    EXPECT_DOUBLE_EQ(DecodeBytes(model,
                                 {.sequences = 1,
                                  .position = 3,
                                  .experts = static_cast<double>(model.config.experts_per_token)},
                                 DType::kBF16),
                     2 * (read + 1024) +
                         3 * static_cast<double>(KvBytesPerToken(model.config, DType::kBF16)) +
                         LightningDecodeBytes(model.config))
        << tied;
  }
}

}  // namespace
}  // namespace fulmen
