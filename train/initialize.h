// The geometry and the first weights of a new model.
#pragma once

#include <cstdint>
#include <optional>

#include "base/thread_pool.h"
#include "model/config.h"
#include "train/parameters.h"
#include "train/training_config.h"

namespace fulmen {

// The config of the model that `model` describes. With post_norm and deepnorm the residual
// connections have DeepNorm's alpha, else weight 1. Fails when the geometry is impossible.
Result<Config> ModelConfig(const ModelSection& model, int64_t vocab_size,
                           std::vector<int32_t> eos_ids);

// How [vision] has images cut.
TileRules TilesOf(const VisionSection& vision);
// Puts a vision half in front of a model of text. Fails where it has one already, and where the
// tokenizer's `image_token` is missing or beyond its vocabulary.
Status AddVision(const VisionSection& vision, std::optional<int32_t> image_token, Config& config);

// Random weights. A seed gives the same ones for any number of threads. Norms are 1. Matrices are
// normal with Xavier's deviation sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010, eq. 16;
// queries, keys and values of a fused matrix count apart), times
//   - DeepNorm's beta = (8 layers)^(-1/4) for values, attention outputs and all three of an
//     expert's matrices (Wang et al., "DeepNet", 2022, section 4.2: decoder only), where the
//     residual connections have its alpha,
//   - 0.1 for the router, so that choices begin near even and gradients reach all experts (Fedus et
//     al., "Switch Transformers", 2021, section 2.4).
// The embedding's deviation is hidden_size^(-1/2): rows of unit length. The norm that follows takes
// any scale, Adam's steps are then of a fitting size, and logits of a tied head begin near 1.
//
// Of the vision half: biases are 0, matrices normal with deviation 1 / sqrt(fan_in), the embeddings
// of class and positions normal with 0.02 (Radford et al., "CLIP", 2021, and its released code),
// the newline with that of the token embedding, among whose rows it stands.
void InitializeWeights(const Config& config, uint64_t seed, ThreadPool& pool, Parameters& weights);
// Those of the vision half alone.
void InitializeVision(const Config& config, uint64_t seed, ThreadPool& pool, Parameters& weights);

}  // namespace fulmen
