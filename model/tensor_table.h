// Every tensor of the family, listed once: its name in each naming scheme, its shape, which layers
// have it, and the axis tensor parallelism splits. Loader, exporter, inspect and tests walk this
// table.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor.h"
#include "model/config.h"

namespace fulmen {

enum class TensorRole : uint8_t {
  kTokenEmbedding,
  kOutputNorm,
  kHead,
  kAttentionNorm,
  kMlpNorm,
  kLightningQkv,
  kLightningGate,
  kLightningNorm,
  kLightningOutput,
  kQuery,
  kKey,
  kValue,
  kSoftmaxOutput,
  kRouter,
  kExpertGate,
  kExpertUp,
  kExpertDown,
};

// Where a tensor occurs: once, or once per layer (of some kind).
enum class TensorScope : uint8_t { kModel, kEveryLayer, kLightningLayers, kSoftmaxLayers };

// A dimension, by the name the config gives it.
enum class Dim : uint8_t { kNone, kVocab, kHidden, kFfn, kExperts, kAttention, kKv, kQkv };

// {L} in a name stands for the layer, {E} for the expert.
struct TensorRow {
  TensorRole role;
  TensorScope scope;
  bool per_expert;               // one tensor per expert in the original naming, stacked in GGUF
  bool absent_when_tied;         // the head
  int shard_axis;                // axis of `dims` split by tensor parallelism; -1: replicated
  Dim dims[2];                   // of one expert where per_expert; kNone ends the list
  std::string_view name;         // original scheme
  std::string_view native_name;  // Transformers' in-memory name where it differs, else ""
  std::string_view gguf_name;
};

std::span<const TensorRow> TensorTable();
const TensorRow& RowOf(TensorRole role);

// One tensor a config calls for. layer and expert are -1 where they do not apply.
struct TensorInstance {
  const TensorRow* row;
  int64_t layer;
  int64_t expert;
  std::string name;  // original scheme
  Shape shape;
};
// Every tensor of the model, in file order: embedding, layers, norm, head.
std::vector<TensorInstance> ExpectedTensors(const Config& config);

// Constants some writers store beside the weights, which the config implies: the decay of lightning
// layers (Transformers), and the frequencies of RoPE.
bool IsStoredConstant(std::string_view name);

// Replaces {L} and {E}.
std::string TensorName(std::string_view pattern, int64_t layer, int64_t expert);
Shape TensorShape(const TensorRow& row, const Config& config);

}  // namespace fulmen
