// The tensors of a model by layer, each of its own name: views of weights, or sums of gradients.
// model/tensor_table.h lists the same tensors as rows, each with a pointer to its member here.
#pragma once

#include <vector>

#include "base/matrix.h"
#include "base/weight_matrix.h"
#include "kernels/moe.h"

namespace fulmen {

// One tensor per weight of a layer, shapes in the terms of Config. The tensors of the other layer
// kind are empty. A norm is a matrix of one row.
template <class Tensor>
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
  Tensor attention_output;                     // [hidden, attention]
  Tensor router;                               // [experts, hidden]
  std::vector<ExpertTensors<Tensor>> experts;  // one per expert
};

template <class Tensor>
struct ModelTensors {
  Tensor token_embedding;  // [vocab, hidden]
  std::vector<LayerTensors<Tensor>> layers;
  Tensor output_norm;  // [hidden]
  Tensor head;         // [vocab, hidden]; the embedding when tied
};

using LayerWeights = LayerTensors<WeightMatrix>;
using ModelWeights = ModelTensors<WeightMatrix>;

// Sums of gradients in the layout of the weights. With tied embeddings head and token_embedding are
// one matrix.
using Gradients = ModelTensors<Matrix>;

}  // namespace fulmen
