#include "model/weights.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <unordered_set>
#include <utility>

#include "base/check.h"
#include "model/gguf_config.h"

namespace fulmen {
namespace {

// The place of `tensor` in a scheme.
TensorSource SourceIn(std::string_view pattern, Placement placement, const TensorInstance& tensor,
                      const Config& config) {
  TensorSource source;
  source.tensor = tensor;
  source.stored_name = TensorName(pattern, tensor.layer, tensor.expert);
  source.stored_shape = tensor.shape;
  source.stacked = placement != Placement::kWhole;
  if (!source.stacked) return source;
  if (placement != Placement::kStacked) source.stored_shape[0] *= 2;
  if (placement == Placement::kSecondHalf) source.first_row = tensor.shape[0];
  source.stored_shape.insert(source.stored_shape.begin(), config.experts);
  return source;
}

// `sources` are the places where the tensor might have been.
std::string MissingMessage(std::span<const TensorSource> sources) {
  const auto shown = [](const TensorSource& source) {
    return fmt::format("\"{}\" {}", source.stored_name, ShapeString(source.stored_shape));
  };
  std::string message = fmt::format("tensor {} is missing", shown(sources.front()));
  if (sources.size() > 1) message += fmt::format(" (and so is {})", shown(sources.back()));
  return message;
}

// Every place where `tensor` may be: in a checkpoint of GGUF, or in any other.
std::vector<TensorSource> SourcesOf(const TensorInstance& tensor, const Config& config, bool gguf) {
  const TensorRow& row = *tensor.row;
  if (gguf) return {SourceIn(row.gguf.name, row.gguf.placement, tensor, config)};
  const std::string original = OriginalPattern(row, config);
  const std::string native = NativePattern(row, config);
  std::vector<TensorSource> sources = {SourceIn(original, row.original.placement, tensor, config)};
  if (native != original) {
    sources.push_back(SourceIn(native, row.native.placement, tensor, config));
  }
  return sources;
}

bool IsVisionName(std::string_view name) {
  for (const std::string_view part :
       {"vision", "visual", "image_", "multi_modal", "mm_projector"}) {
    if (name.find(part) != std::string_view::npos) return true;
  }
  return false;
}

Status CheckLeftovers(const Config& config, const std::set<std::string_view>& names,
                      const std::unordered_set<std::string_view>& claimed,
                      const std::string& where) {
  for (const std::string_view name : names) {
    if (claimed.contains(name) || IsStoredConstant(name)) continue;
    // Writers may store the head although the config says that the embedding serves as one.
    if (config.tied_embeddings && (name == OriginalPattern(RowOf(&ModelWeights::head), config) ||
                                   name == NativePattern(RowOf(&ModelWeights::head), config))) {
      continue;
    }
    if (!config.vision && IsVisionName(name)) {
      return Fail(ErrorCode::kUnsupported,
                  "{}: tensor \"{}\" belongs to a model with images, but the config describes one "
                  "of text",
                  where, name);
    }
    return Fail(ErrorCode::kUnsupported,
                "{}: the config calls for no tensor \"{}\" (it describes {} layers of {} experts)",
                where, name, config.layer_count(), config.experts);
  }
  return {};
}

template <class Tensor>
void Arrange(const Config& config, std::span<const Tensor> tensors, ModelTensors<Tensor>& model) {
  model.layers.resize(config.layers.size());
  for (auto& layer : model.layers) layer.experts.resize(static_cast<size_t>(config.experts));
  if (config.vision) model.vision.layers.resize(static_cast<size_t>(config.vision->layers));
  size_t next = 0;
  ForEachTensor(config, [&](const TensorRow& row, int64_t layer, int64_t expert) {
    FULMEN_CHECK(next < tensors.size(), "{} tensors, the config calls for more", tensors.size());
    TensorAt(model, row, layer, expert) = tensors[next++];
  });
  FULMEN_CHECK(next == tensors.size(), "{} tensors, the config calls for {}", tensors.size(), next);
  if (config.tied_embeddings) model.head = model.token_embedding;
}

// Norms and routers are small, and a router's choices change with little; positions are added.
bool MayBeQuantized(const TensorRow& row) {
  return row.dims[1] != Dim::kNone && !row.Is(&LayerWeights::router) &&
         !row.Is(&VisionWeights::position_embedding);
}

Status CheckType(const TensorSource& source, DType type, const Checkpoint& checkpoint) {
  const bool quantized = MayBeQuantized(*source.tensor.row);
  if (IsWeightType(type) && (quantized || !IsQuantized(type))) return {};
  return Fail(ErrorCode::kUnsupported, "{}: tensor \"{}\" has type {}, {} may be F32, F16 or BF16",
              checkpoint.FileOf(source.stored_name), source.stored_name, DTypeName(type),
              IsWeightType(type) ? "norms, biases, positions and routers" : "weights");
}

Result<WeightMatrix> FetchTensor(const TensorSource& source, const Checkpoint& checkpoint) {
  const TensorView& stored = checkpoint.tensors().at(source.stored_name);
  if (stored.shape != source.stored_shape) {
    return Fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" has shape {}, the config calls for {}",
                checkpoint.FileOf(source.stored_name), source.stored_name,
                ShapeString(stored.shape), ShapeString(source.stored_shape));
  }
  FULMEN_TRY(CheckType(source, stored.dtype, checkpoint));
  if (!source.stacked) return AsWeight(stored);
  const WeightMatrix entry = AsWeight(stored.Slice(source.tensor.expert));
  return entry.Rows(source.first_row, source.tensor.shape[0]);
}

// How far a stored value may be from ours: the power was computed in float32 and rounded to the
// type. The schemes place an epsilon of 1e-5 in the layer's factor differently, and a file may have
// come from the other one.
double SlopeTolerance(DType dtype, double slope, double head_slope) {
  constexpr double kEpsilonPlaced = 1.01e-5;
  double rounding = 0;
  double subnormal = 0;
  switch (dtype) {
    case DType::kF32:
      break;
    case DType::kF16:
      rounding = 0x1p-11;
      subnormal = 0x1p-25;
      break;
    case DType::kBF16:
      rounding = 0x1p-8;
      break;
    default:
      FULMEN_CHECK(false, "{} is no type of weights", DTypeName(dtype));
  }
  return slope * (0x1p-20 + rounding) + subnormal + head_slope * kEpsilonPlaced;
}

auto FindSlopes(const Checkpoint& checkpoint, int64_t layer) {
  auto found = checkpoint.tensors().end();
  for (const char* prefix : {"model.", "language_model.model.", "model.language_model."}) {
    if (found != checkpoint.tensors().end()) break;
    found =
        checkpoint.tensors().find(fmt::format("{}layers.{}.self_attn.slope_rate", prefix, layer));
  }
  return found;
}

// Refuses a `slope_rate` of a lightning layer that contradicts the config's slopes: the layer was
// trained with those. The other stored constants follow from it.
Status CheckStoredSlopes(const Config& config, const Checkpoint& checkpoint) {
  const std::vector<float> head_slopes = LightningDecay(config, 0);
  for (int64_t layer = 0; layer < config.layer_count(); ++layer) {
    const auto found = FindSlopes(checkpoint, layer);
    if (found == checkpoint.tensors().end()) continue;
    const std::string& name = found->first;
    const TensorView& stored = found->second;
    if (!IsWeightType(stored.dtype) || IsQuantized(stored.dtype) ||
        stored.elements() != config.heads) {
      return Fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" should hold {} slopes, found {} {}",
                  checkpoint.FileOf(name), name, config.heads, DTypeName(stored.dtype),
                  ShapeString(stored.shape));
    }
    const std::vector<float> slopes = LightningDecay(config, layer);
    for (size_t h = 0; h < slopes.size(); ++h) {
      const double value = LoadFloat(stored.dtype, stored.data, h);
      if (std::abs(value - slopes[h]) <= SlopeTolerance(stored.dtype, slopes[h], head_slopes[h])) {
        continue;
      }
      return Fail(ErrorCode::kCorrupt,
                  "{}: tensor \"{}\" gives head {} the slope {:.6g}, the rule of {} {:.6g}",
                  checkpoint.FileOf(name), name, h, value, config.architecture, slopes[h]);
    }
  }
  return {};
}

// Most rows are decided by their first elements, so little of the table is read.
bool RowIsZero(const WeightMatrix& table, int64_t row) {
  std::array<float, 256> piece = {};
  constexpr auto kPiece = static_cast<int64_t>(piece.size());
  for (int64_t first = 0; first < table.cols; first += kPiece) {
    const int64_t count = std::min(kPiece, table.cols - first);
    DequantizeRow(table.Cols(first, count), row, piece.data());
    if (std::any_of(piece.data(), piece.data() + count, [](float x) { return x != 0; })) {
      return false;
    }
  }
  return true;
}

std::vector<int32_t> ZeroRows(const WeightMatrix& table) {
  std::vector<int32_t> zero;
  for (int64_t row = 0; row < table.rows; ++row) {
    if (RowIsZero(table, row)) zero.push_back(static_cast<int32_t>(row));
  }
  return zero;
}

}  // namespace

Result<std::vector<TensorSource>> ResolveTensors(const Config& config,
                                                 const std::set<std::string_view>& names,
                                                 const std::string& where) {
  const bool gguf = names.contains(RowOf(&ModelWeights::token_embedding).gguf.name);
  std::vector<TensorSource> sources;
  std::unordered_set<std::string_view> claimed;
  for (const TensorInstance& tensor : ExpectedTensors(config)) {
    std::vector<TensorSource> places = SourcesOf(tensor, config, gguf);
    const auto place = std::ranges::find_if(
        places, [&](const TensorSource& source) { return names.contains(source.stored_name); });
    if (place == places.end()) {
      return Fail(ErrorCode::kNotFound, "{}: {}", where, MissingMessage(places));
    }
    claimed.insert(*names.find(place->stored_name));
    sources.push_back(std::move(*place));
  }
  FULMEN_TRY(CheckLeftovers(config, names, claimed, where));
  return sources;
}

Weights ArrangeWeights(const Config& config, std::span<const WeightMatrix> tensors) {
  Weights weights;
  Arrange<WeightMatrix>(config, tensors, weights);
  for (int64_t layer = 0; layer < config.layer_count(); ++layer) {
    const bool lightning = config.layers[static_cast<size_t>(layer)] == LayerKind::kLightning;
    weights.decay.push_back(lightning ? LightningDecay(config, layer) : std::vector<float>());
  }
  weights.inverse_frequencies = RopeInverseFrequencies(config);
  return weights;
}

std::vector<WeightMatrix> ListWeights(const Config& config, const Weights& weights) {
  std::vector<WeightMatrix> list;
  ForEachTensor(config, [&](const TensorRow& row, int64_t layer, int64_t expert) {
    list.push_back(TensorAt<WeightMatrix>(weights, row, layer, expert));
  });
  return list;
}

Gradients ArrangeGradients(const Config& config, std::span<const Matrix> tensors) {
  Gradients gradients;
  Arrange(config, tensors, gradients);
  return gradients;
}

Result<Weights> BindWeights(const Config& config, const Checkpoint& checkpoint,
                            const std::string& where) {
  std::set<std::string_view> names;
  for (const auto& [name, view] : checkpoint.tensors()) names.insert(names.end(), name);
  FULMEN_ASSIGN(const std::vector<TensorSource> sources, ResolveTensors(config, names, where));
  std::vector<WeightMatrix> tensors;
  tensors.reserve(sources.size());
  for (const TensorSource& source : sources) {
    FULMEN_ASSIGN(const WeightMatrix weight, FetchTensor(source, checkpoint));
    tensors.push_back(weight);
  }
  FULMEN_TRY(CheckStoredSlopes(config, checkpoint));
  return ArrangeWeights(config, tensors);
}

Result<Model> LoadModel(const ModelFiles& files) {
  Model model;
  FULMEN_ASSIGN(model.config, ReadConfig(files));
  FULMEN_ASSIGN(Checkpoint checkpoint, files.OpenTensors());
  model.checkpoint = std::make_unique<Checkpoint>(std::move(checkpoint));
  FULMEN_ASSIGN(model.weights, BindWeights(model.config, *model.checkpoint, files.where()));
  FULMEN_ASSIGN(model.generation, ReadGenerationConfig(files, model.config.vocab_size));
  std::vector<int32_t> suppressed = model.generation.suppressed;
  if (files.gguf()) {
    FULMEN_ASSIGN(suppressed, SuppressedIds(*files.gguf(), model.config.vocab_size));
  }
  std::ranges::sort(suppressed);
  suppressed.erase(std::unique(suppressed.begin(), suppressed.end()), suppressed.end());
  std::ranges::set_union(ZeroRows(model.weights.token_embedding), suppressed,
                         std::back_inserter(model.unused_ids));
  return model;
}

Result<Model> LoadModel(const std::string& path) {
  FULMEN_ASSIGN(const ModelFiles files, ModelFiles::Open(path));
  return LoadModel(files);
}

}  // namespace fulmen
