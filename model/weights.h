// Read-only weights: views into a mapped checkpoint, by layer.
#pragma once

#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/matrix.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/checkpoint.h"
#include "formats/model_files.h"
#include "model/config.h"
#include "model/generation_config.h"
#include "model/model_tensors.h"
#include "model/tensor_table.h"

namespace fulmen {

struct Weights : ModelWeights {
  // Derived from the config.
  std::vector<std::vector<float>> decay;   // per layer [heads]; empty for softmax layers
  std::vector<float> inverse_frequencies;  // [rotary_dim / 2]
};

// A model ready to compute: config, weights and the mapping they point into. Immutable after
// loading, so any number of threads may share it. Movable.
struct Model {
  Config config;
  std::unique_ptr<Checkpoint> checkpoint;
  Weights weights;
  // Tokens whose embedding rows are all zero, and those that a GGUF file or a generation config
  // suppresses. Sorted.
  std::vector<int32_t> unused_ids;
  GenerationConfig generation = {};
  // Where weights lie that were repacked (model/repack.h). The blocks of memory never move.
  std::vector<std::vector<std::byte, UninitializedAllocator<std::byte>>> repacked = {};
};

// Config, tensors and, where there is one, generation config. Every tensor the config calls for
// must be there with its shape, in a naming scheme of safetensors or that of GGUF; tensors nobody
// calls for are refused, stored decay constants excepted. Quantized types are for matrices only.
Result<Model> LoadModel(const ModelFiles& files);
// The same of what lies at `path`.
Result<Model> LoadModel(const std::string& path);

// Where one tensor the config calls for lies in a checkpoint: a whole tensor, or a part of a
// stacked one of the native scheme or of GGUF.
struct TensorSource {
  TensorInstance tensor;
  std::string stored_name;
  Shape stored_shape;     // as the config demands it
  int64_t first_row = 0;  // of the expert's entry in a stack
  bool stacked = false;
};

// Finds every tensor of `config` among `names`, the tensors of a checkpoint or of its index. Where
// the embedding has its name of GGUF, so has every tensor. A missing name, or one nobody calls for,
// is an error; `where` names the checkpoint in it.
Result<std::vector<TensorSource>> ResolveTensors(const Config& config,
                                                 const std::set<std::string_view>& names,
                                                 const std::string& where);

// Arranges one tensor per entry of ExpectedTensors(config), in that order, by layer.
Weights ArrangeWeights(const Config& config, std::span<const WeightMatrix> tensors);
// The inverse of ArrangeWeights.
std::vector<WeightMatrix> ListWeights(const Config& config, const Weights& weights);
Gradients ArrangeGradients(const Config& config, std::span<const Matrix> tensors);

// The views of `checkpoint` arranged by layer, checked against `config`.
Result<Weights> BindWeights(const Config& config, const Checkpoint& checkpoint,
                            const std::string& where);

}  // namespace fulmen
