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

// One layer of the vision tower. A bias is a matrix of one row, as a norm is.
template <class Tensor>
struct VisionLayerTensors {
  Tensor attention_norm, attention_norm_bias;      // [width]
  Tensor query, query_bias;                        // [width, width], [width]
  Tensor key, key_bias;                            // likewise
  Tensor value, value_bias;                        // likewise
  Tensor attention_output, attention_output_bias;  // likewise
  Tensor mlp_norm, mlp_norm_bias;                  // [width]
  Tensor up, up_bias;                              // [ffn, width], [ffn]
  Tensor down, down_bias;                          // [width, ffn], [width]
};

// What makes tokens of an image, in the terms of VisionConfig. All empty in a model of text.
template <class Tensor>
struct VisionTensors {
  Tensor class_embedding;     // [width]
  Tensor patch_embedding;     // [width, 3 * patch * patch]
  Tensor position_embedding;  // [1 + patches, width]
  Tensor norm, norm_bias;     // [width], before the layers
  std::vector<VisionLayerTensors<Tensor>> layers;
  Tensor projector_in, projector_in_bias;    // [hidden, width], [hidden]
  Tensor projector_out, projector_out_bias;  // [hidden, hidden], [hidden]
  Tensor newline;                            // [hidden]
};

template <class Tensor>
struct ModelTensors {
  Tensor token_embedding;  // [vocab, hidden]
  std::vector<LayerTensors<Tensor>> layers;
  Tensor output_norm;  // [hidden]
  Tensor head;         // [vocab, hidden]; the embedding when tied
  VisionTensors<Tensor> vision;
};

using LayerWeights = LayerTensors<WeightMatrix>;
using ModelWeights = ModelTensors<WeightMatrix>;
using VisionLayerWeights = VisionLayerTensors<WeightMatrix>;
using VisionWeights = VisionTensors<WeightMatrix>;

// Sums of gradients in the layout of the weights. With tied embeddings head and token_embedding are
// one matrix.
using Gradients = ModelTensors<Matrix>;

}  // namespace fulmen
