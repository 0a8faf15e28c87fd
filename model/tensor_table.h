// Every tensor of the family, listed once: where it stands in ModelTensors, its name and placement
// in each naming scheme, its shape, which layers have it, and how it is split over ranks. Loader,
// exporter, inspect, cost counting and tests walk this table. What a model with images has besides
// is a second table of the same rows.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "formats/tensor.h"
#include "model/config.h"
#include "model/model_tensors.h"

namespace fulmen {

// Where a tensor stands: once in the model, once per layer, or once per expert of a layer; once in
// its vision half, or once per layer of the tower.
template <class Tensor>
using TensorMember = std::variant<Tensor ModelTensors<Tensor>::*, Tensor LayerTensors<Tensor>::*,
                                  Tensor ExpertTensors<Tensor>::*, Tensor VisionTensors<Tensor>::*,
                                  Tensor VisionLayerTensors<Tensor>::*>;

// Which layers have a tensor of a layer.
enum class LayerScope : uint8_t { kEvery, kLightning, kSoftmax };

// A dimension, by the name the config gives it.
enum class Dim : uint8_t {
  kNone,
  kVocab,
  kHidden,
  kFfn,
  kExperts,
  kAttention,
  kKv,
  kQkv,
  kVisionWidth,
  kVisionFfn,
  kVisionPositions,
  kChannels,
  kPatch,
};

// How tensor parallelism divides a tensor: not at all, by rows, by columns in whole blocks, or by
// rows (of a vector: elements) in whole heads. Expert parallelism hands out whole experts, which
// every row with a member of ExpertTensors allows.
enum class TensorSplit : uint8_t { kNone, kRows, kColumns, kHeads };

// How a file holds a tensor under a name: alone; in a stack of all experts of its layer, [experts,
// rows, cols]; or as the first or second half of the rows of every entry of such a stack.
enum class Placement : uint8_t { kWhole, kStacked, kFirstHalf, kSecondHalf };

// {L} in a name stands for the layer, {E} for the expert.
struct StoredAs {
  std::string_view name;
  Placement placement = Placement::kWhole;
};

template <class Tensor>
struct TensorRowOf {
  TensorMember<Tensor> member;
  LayerScope layers = LayerScope::kEvery;  // of no meaning for a tensor of the model
  bool absent_when_tied = false;           // the head
  // Of one expert for a tensor of experts; all behind the first are the columns of its matrix.
  Dim dims[4] = {Dim::kNone, Dim::kNone, Dim::kNone, Dim::kNone};
  TensorSplit split = TensorSplit::kNone;
  StoredAs original;     // the authors' checkpoints of a model of text, or of the vision half
  StoredAs native = {};  // Transformers' own classes, where they differ; else the name is empty
  StoredAs gguf;

  bool in_model() const { return member.index() == 0; }
  bool per_expert() const { return member.index() == 2; }
  bool in_vision() const { return member.index() >= 3; }
  bool per_tower_layer() const { return member.index() == 4; }  // which is what {L} stands for then
  // Whether the tensor is this member, as in row.Is(&LayerWeights::router).
  bool Is(TensorMember<Tensor> other) const { return member == other; }
};
using TensorRow = TensorRowOf<WeightMatrix>;

std::span<const TensorRow> TensorTable();
std::span<const TensorRow> VisionTensorTable();
// The first row of a member: attention_output has one for each kind of layer.
const TensorRow& RowOf(TensorMember<WeightMatrix> member);

// The tensor of a row; layer and expert are of no meaning where it has none. For weights and for
// gradients (Tensor = Matrix).
template <class Tensor>
Tensor& TensorAt(ModelTensors<Tensor>& model, const TensorRow& row, int64_t layer, int64_t expert);
template <class Tensor>
const Tensor& TensorAt(const ModelTensors<Tensor>& model, const TensorRow& row, int64_t layer,
                       int64_t expert);

// Visits every tensor a config calls for, in file order: embedding, layers, norm, head, and where
// there is one the vision half. layer and expert are -1 where they do not apply.
using TensorVisitor = std::function<void(const TensorRow& row, int64_t layer, int64_t expert)>;
void ForEachTensor(const Config& config, const TensorVisitor& visit);

// One tensor a config calls for, as ForEachTensor gives it.
struct TensorInstance {
  const TensorRow* row;
  int64_t layer;
  int64_t expert;
  std::string name;  // original scheme
  Shape shape;
};
std::vector<TensorInstance> ExpectedTensors(const Config& config);

// Constants some writers store beside the weights, which the config implies: the decay of lightning
// layers (Transformers), and the frequencies of RoPE.
bool IsStoredConstant(std::string_view name);

// Replaces {L} and {E}.
std::string TensorName(std::string_view pattern, int64_t layer, int64_t expert);
// The pattern of a row in a checkpoint of `config`, which may keep the tensors of text behind a
// prefix.
std::string OriginalPattern(const TensorRow& row, const Config& config);
std::string NativePattern(const TensorRow& row, const Config& config);
Shape TensorShape(const TensorRow& row, const Config& config);

}  // namespace fulmen
