// Read-only weights: views into a mapped checkpoint, by layer.
#pragma once

#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/tensor.h"
#include "formats/checkpoint.h"
#include "kernels/moe.h"
#include "model/config.h"
#include "model/generation_config.h"
#include "model/tensor_table.h"

namespace fulmen {

// One tensor per weight of a layer, shapes in the terms of Config. The tensors of the other layer
// kind are empty.
template <class Tensor, class Expert>
struct LayerTensors {
  Tensor attention_norm;  // [hidden]
  Tensor mlp_norm;        // [hidden]
  // Lightning layers.
  Tensor qkv;             // [heads * 3 * head_dim, hidden], per head q | k | v
  Tensor output_gate;     // [attention, hidden]
  Tensor lightning_norm;  // [attention]
  // Softmax layers.
  Tensor query;  // [attention, hidden]
  Tensor key;    // [kv, hidden]
  Tensor value;  // [kv, hidden]
  // Both.
  Tensor attention_output;      // [hidden, attention]
  Tensor router;                // [experts, hidden]
  std::vector<Expert> experts;  // one per expert
};

template <class Tensor, class Expert>
struct ModelTensors {
  Tensor token_embedding;  // [vocab, hidden]
  std::vector<LayerTensors<Tensor, Expert>> layers;
  Tensor output_norm;  // [hidden]
  Tensor head;         // [vocab, hidden]; the embedding when tied
};

using LayerWeights = LayerTensors<TensorView, ExpertWeights>;

struct Weights : ModelTensors<TensorView, ExpertWeights> {
  // Derived from the config.
  std::vector<std::vector<float>> decay;   // per layer [heads]; empty for softmax layers
  std::vector<float> inverse_frequencies;  // [rotary_dim / 2]
};

// Sums of gradients in the layout of the weights; vectors are matrices of one row. With tied
// embeddings head and token_embedding are one matrix.
using Gradients = ModelTensors<Matrix, ExpertGradients>;

// A model ready to compute: config, weights and the mapping they point into. Immutable after
// loading, so any number of threads may share it. Movable.
struct Model {
  Config config;
  std::unique_ptr<Checkpoint> checkpoint;
  Weights weights;
  std::vector<int32_t> unused_ids;  // tokens whose embedding rows are all zero
  GenerationConfig generation = {};
};

// The config of the model folder `path`; says so when that is no model folder.
Result<Config> ReadFolderConfig(const std::string& path);

// `path` is a folder with config.json and safetensors, and generation_config.json where there is
// one. Every tensor the config calls for must be
// there with its shape, in either naming scheme; tensors nobody calls for are refused, stored decay
// constants excepted.
Result<Model> LoadModel(const std::string& path);

// Where one tensor the config calls for lies in a checkpoint: a whole tensor of the original
// scheme, or a part of a stacked one of the native scheme.
struct TensorSource {
  TensorInstance tensor;
  std::string stored_name;
  Shape stored_shape;     // as the config demands it
  int64_t first_row = 0;  // of the expert's entry in a stack
  bool stacked = false;
};

// Finds every tensor of `config` among `names`, the tensors of a checkpoint or of its index. A
// missing name, or one nobody calls for, is an error; `where` names the checkpoint in it.
Result<std::vector<TensorSource>> ResolveTensors(const Config& config,
                                                 const std::set<std::string_view>& names,
                                                 const std::string& where);

// Arranges one tensor per entry of ExpectedTensors(config), in that order, by layer.
Weights ArrangeWeights(const Config& config, std::span<const TensorView> tensors);
// The inverse of ArrangeWeights.
std::vector<TensorView> ListWeights(const Config& config, const Weights& weights);
Gradients ArrangeGradients(const Config& config, std::span<const Matrix> tensors);

// The views of `checkpoint` arranged by layer, checked against `config`.
Result<Weights> BindWeights(const Config& config, const Checkpoint& checkpoint,
                            const std::string& where);

}  // namespace fulmen
