#include "model/tensor_table.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace fulmen {
namespace {

// In file order: what comes before the layers, the layers, what comes after.
template <class Tensor>
constexpr auto kTable = [] {
  using Model = ModelTensors<Tensor>;
  using Layer = LayerTensors<Tensor>;
  using Expert = ExpertTensors<Tensor>;
  return std::to_array<TensorRowOf<Tensor>>({
      {.member = &Model::token_embedding,
       .dims = {Dim::kVocab, Dim::kHidden},
       .split = TensorSplit::kRows,
       .original = {"model.embed_tokens.weight"},
       .gguf = {"token_embd.weight"}},
      {.member = &Layer::attention_norm,
       .dims = {Dim::kHidden},
       .original = {"model.layers.{L}.input_layernorm.weight"},
       .gguf = {"blk.{L}.attn_norm.weight"}},
      {.member = &Layer::qkv,
       .layers = LayerScope::kLightning,
       .dims = {Dim::kQkv, Dim::kHidden},
       .split = TensorSplit::kHeads,
       .original = {"model.layers.{L}.self_attn.qkv_proj.weight"},
       .gguf = {"blk.{L}.attn_qkv.weight"}},
      {.member = &Layer::output_gate,
       .layers = LayerScope::kLightning,
       .dims = {Dim::kAttention, Dim::kHidden},
       .split = TensorSplit::kHeads,
       .original = {"model.layers.{L}.self_attn.output_gate.weight"},
       .gguf = {"blk.{L}.attn_gate.weight"}},
      {.member = &Layer::lightning_norm,
       .layers = LayerScope::kLightning,
       .dims = {Dim::kAttention},
       .split = TensorSplit::kHeads,
       .original = {"model.layers.{L}.self_attn.norm.weight"},
       .gguf = {"blk.{L}.attn_norm_2.weight"}},
      {.member = &Layer::attention_output,
       .layers = LayerScope::kLightning,
       .dims = {Dim::kHidden, Dim::kAttention},
       .split = TensorSplit::kColumns,
       .original = {"model.layers.{L}.self_attn.out_proj.weight"},
       .gguf = {"blk.{L}.attn_output.weight"}},
      {.member = &Layer::query,
       .layers = LayerScope::kSoftmax,
       .dims = {Dim::kAttention, Dim::kHidden},
       .split = TensorSplit::kHeads,
       .original = {"model.layers.{L}.self_attn.q_proj.weight"},
       .gguf = {"blk.{L}.attn_q.weight"}},
      {.member = &Layer::key,
       .layers = LayerScope::kSoftmax,
       .dims = {Dim::kKv, Dim::kHidden},
       .split = TensorSplit::kHeads,
       .original = {"model.layers.{L}.self_attn.k_proj.weight"},
       .gguf = {"blk.{L}.attn_k.weight"}},
      {.member = &Layer::value,
       .layers = LayerScope::kSoftmax,
       .dims = {Dim::kKv, Dim::kHidden},
       .split = TensorSplit::kHeads,
       .original = {"model.layers.{L}.self_attn.v_proj.weight"},
       .gguf = {"blk.{L}.attn_v.weight"}},
      {.member = &Layer::attention_output,
       .layers = LayerScope::kSoftmax,
       .dims = {Dim::kHidden, Dim::kAttention},
       .split = TensorSplit::kColumns,
       .original = {"model.layers.{L}.self_attn.o_proj.weight"},
       .gguf = {"blk.{L}.attn_output.weight"}},
      {.member = &Layer::mlp_norm,
       .dims = {Dim::kHidden},
       .original = {"model.layers.{L}.post_attention_layernorm.weight"},
       .gguf = {"blk.{L}.ffn_norm.weight"}},
      {.member = &Layer::router,
       .dims = {Dim::kExperts, Dim::kHidden},
       .original = {"model.layers.{L}.block_sparse_moe.gate.weight"},
       .native = {"model.layers.{L}.mlp.gate.weight"},
       .gguf = {"blk.{L}.ffn_gate_inp.weight"}},
      {.member = &Expert::gate,
       .dims = {Dim::kFfn, Dim::kHidden},
       .split = TensorSplit::kRows,
       .original = {"model.layers.{L}.block_sparse_moe.experts.{E}.w1.weight"},
       .native = {"model.layers.{L}.mlp.experts.gate_up_proj", Placement::kFirstHalf},
       .gguf = {"blk.{L}.ffn_gate_exps.weight", Placement::kStacked}},
      {.member = &Expert::up,
       .dims = {Dim::kFfn, Dim::kHidden},
       .split = TensorSplit::kRows,
       .original = {"model.layers.{L}.block_sparse_moe.experts.{E}.w3.weight"},
       .native = {"model.layers.{L}.mlp.experts.gate_up_proj", Placement::kSecondHalf},
       .gguf = {"blk.{L}.ffn_up_exps.weight", Placement::kStacked}},
      {.member = &Expert::down,
       .dims = {Dim::kHidden, Dim::kFfn},
       .split = TensorSplit::kColumns,
       .original = {"model.layers.{L}.block_sparse_moe.experts.{E}.w2.weight"},
       .native = {"model.layers.{L}.mlp.experts.down_proj", Placement::kStacked},
       .gguf = {"blk.{L}.ffn_down_exps.weight", Placement::kStacked}},
      {.member = &Model::output_norm,
       .dims = {Dim::kHidden},
       .original = {"model.norm.weight"},
       .gguf = {"output_norm.weight"}},
      {.member = &Model::head,
       .absent_when_tied = true,
       .dims = {Dim::kVocab, Dim::kHidden},
       .split = TensorSplit::kRows,
       .original = {"lm_head.weight"},
       .gguf = {"output.weight"}},
  });
}();

// The same of the vision half. The names of GGUF are those of llama.cpp's mmproj files.
template <class Tensor>
constexpr auto kVisionTable = [] {
  using Vision = VisionTensors<Tensor>;
  using Layer = VisionLayerTensors<Tensor>;
  return std::to_array<TensorRowOf<Tensor>>({
      {.member = &Vision::class_embedding,
       .dims = {Dim::kVisionWidth},
       .original = {"vision_tower.vision_model.embeddings.class_embedding"},
       .gguf = {"v.class_embd"}},
      {.member = &Vision::patch_embedding,
       .dims = {Dim::kVisionWidth, Dim::kChannels, Dim::kPatch, Dim::kPatch},
       .original = {"vision_tower.vision_model.embeddings.patch_embedding.weight"},
       .gguf = {"v.patch_embd.weight"}},
      {.member = &Vision::position_embedding,
       .dims = {Dim::kVisionPositions, Dim::kVisionWidth},
       .original = {"vision_tower.vision_model.embeddings.position_embedding.weight"},
       .gguf = {"v.position_embd.weight"}},
      {.member = &Vision::norm,
       .dims = {Dim::kVisionWidth},
       .original = {"vision_tower.vision_model.pre_layrnorm.weight"},
       .gguf = {"v.pre_ln.weight"}},
      {.member = &Vision::norm_bias,
       .dims = {Dim::kVisionWidth},
       .original = {"vision_tower.vision_model.pre_layrnorm.bias"},
       .gguf = {"v.pre_ln.bias"}},
      {.member = &Layer::attention_norm,
       .dims = {Dim::kVisionWidth},
       .original = {"vision_tower.vision_model.encoder.layers.{L}.layer_norm1.weight"},
       .gguf = {"v.blk.{L}.ln1.weight"}},
      {.member = &Layer::attention_norm_bias,
       .dims = {Dim::kVisionWidth},
       .original = {"vision_tower.vision_model.encoder.layers.{L}.layer_norm1.bias"},
       .gguf = {"v.blk.{L}.ln1.bias"}},
      {.member = &Layer::query,
       .dims = {Dim::kVisionWidth, Dim::kVisionWidth},
       .original = {"vision_tower.vision_model.encoder.layers.{L}.self_attn.q_proj.weight"},
       .gguf = {"v.blk.{L}.attn_q.weight"}},
      {.member = &Layer::query_bias,
       .dims = {Dim::kVisionWidth},
       .original = {"vision_tower.vision_model.encoder.layers.{L}.self_attn.q_proj.bias"},
       .gguf = {"v.blk.{L}.attn_q.bias"}},
      {.member = &Layer::key,
       .dims = {Dim::kVisionWidth, Dim::kVisionWidth},
       .original = {"vision_tower.vision_model.encoder.layers.{L}.self_attn.k_proj.weight"},
       .gguf = {"v.blk.{L}.attn_k.weight"}},
      {.member = &Layer::key_bias,
       .dims = {Dim::kVisionWidth},
       .original = {"vision_tower.vision_model.encoder.layers.{L}.self_attn.k_proj.bias"},
       .gguf = {"v.blk.{L}.attn_k.bias"}},
      {.member = &Layer::value,
       .dims = {Dim::kVisionWidth, Dim::kVisionWidth},
       .original = {"vision_tower.vision_model.encoder.layers.{L}.self_attn.v_proj.weight"},
       .gguf = {"v.blk.{L}.attn_v.weight"}},
      {.member = &Layer::value_bias,
       .dims = {Dim::kVisionWidth},
       .original = {"vision_tower.vision_model.encoder.layers.{L}.self_attn.v_proj.bias"},
       .gguf = {"v.blk.{L}.attn_v.bias"}},
      {.member = &Layer::attention_output,
       .dims = {Dim::kVisionWidth, Dim::kVisionWidth},
       .original = {"vision_tower.vision_model.encoder.layers.{L}.self_attn.out_proj.weight"},
       .gguf = {"v.blk.{L}.attn_out.weight"}},
      {.member = &Layer::attention_output_bias,
       .dims = {Dim::kVisionWidth},
       .original = {"vision_tower.vision_model.encoder.layers.{L}.self_attn.out_proj.bias"},
       .gguf = {"v.blk.{L}.attn_out.bias"}},
      {.member = &Layer::mlp_norm,
       .dims = {Dim::kVisionWidth},
       .original = {"vision_tower.vision_model.encoder.layers.{L}.layer_norm2.weight"},
       .gguf = {"v.blk.{L}.ln2.weight"}},
      {.member = &Layer::mlp_norm_bias,
       .dims = {Dim::kVisionWidth},
       .original = {"vision_tower.vision_model.encoder.layers.{L}.layer_norm2.bias"},
       .gguf = {"v.blk.{L}.ln2.bias"}},
      {.member = &Layer::up,
       .dims = {Dim::kVisionFfn, Dim::kVisionWidth},
       .original = {"vision_tower.vision_model.encoder.layers.{L}.mlp.fc1.weight"},
       .gguf = {"v.blk.{L}.ffn_up.weight"}},
      {.member = &Layer::up_bias,
       .dims = {Dim::kVisionFfn},
       .original = {"vision_tower.vision_model.encoder.layers.{L}.mlp.fc1.bias"},
       .gguf = {"v.blk.{L}.ffn_up.bias"}},
      {.member = &Layer::down,
       .dims = {Dim::kVisionWidth, Dim::kVisionFfn},
       .original = {"vision_tower.vision_model.encoder.layers.{L}.mlp.fc2.weight"},
       .gguf = {"v.blk.{L}.ffn_down.weight"}},
      {.member = &Layer::down_bias,
       .dims = {Dim::kVisionWidth},
       .original = {"vision_tower.vision_model.encoder.layers.{L}.mlp.fc2.bias"},
       .gguf = {"v.blk.{L}.ffn_down.bias"}},
      {.member = &Vision::projector_in,
       .dims = {Dim::kHidden, Dim::kVisionWidth},
       .original = {"multi_modal_projector.linear_1.weight"},
       .gguf = {"mm.0.weight"}},
      {.member = &Vision::projector_in_bias,
       .dims = {Dim::kHidden},
       .original = {"multi_modal_projector.linear_1.bias"},
       .gguf = {"mm.0.bias"}},
      {.member = &Vision::projector_out,
       .dims = {Dim::kHidden, Dim::kHidden},
       .original = {"multi_modal_projector.linear_2.weight"},
       .gguf = {"mm.2.weight"}},
      {.member = &Vision::projector_out_bias,
       .dims = {Dim::kHidden},
       .original = {"multi_modal_projector.linear_2.bias"},
       .gguf = {"mm.2.bias"}},
      {.member = &Vision::newline,
       .dims = {Dim::kHidden},
       .original = {"image_newline"},
       .gguf = {"v.image_newline"}},
  });
}();

bool OccursIn(LayerScope scope, LayerKind kind) {
  switch (scope) {
    case LayerScope::kEvery:
      return true;
    case LayerScope::kLightning:
      return kind == LayerKind::kLightning;
    case LayerScope::kSoftmax:
      return kind == LayerKind::kSoftmax;
  }
  return false;
}

int64_t DimSize(Dim dim, const Config& config) {
  switch (dim) {
    case Dim::kNone:
      return 1;
    case Dim::kVocab:
      return config.vocab_size;
    case Dim::kHidden:
      return config.hidden_size;
    case Dim::kFfn:
      return config.ffn_size;
    case Dim::kExperts:
      return config.experts;
    case Dim::kAttention:
      return config.attention_size();
    case Dim::kKv:
      return config.kv_size();
    case Dim::kQkv:
      return 3 * config.attention_size();
    case Dim::kVisionWidth:
      return config.vision->width;
    case Dim::kVisionFfn:
      return config.vision->ffn_size;
    case Dim::kVisionPositions:
      return 1 + config.vision->patches();
    case Dim::kChannels:
      return 3;
    case Dim::kPatch:
      return config.vision->tiles.patch;
  }
  return 0;
}

// The rows of a table are the same for weights and gradients but for the type their members have.
template <class Tensor>
const TensorMember<Tensor>& MemberOf(const TensorRow& row) {
  const auto same = [&](const auto& rows, const auto& own) -> const TensorMember<Tensor>& {
    return own[static_cast<size_t>(&row - rows.data())].member;
  };
  return row.in_vision() ? same(kVisionTable<WeightMatrix>, kVisionTable<Tensor>)
                         : same(kTable<WeightMatrix>, kTable<Tensor>);
}

template <class Tensor, class Model>
auto& Find(Model& model, const TensorRow& row, int64_t layer, int64_t expert) {
  const TensorMember<Tensor>& member = MemberOf<Tensor>(row);
  if (row.in_model()) return model.*std::get<0>(member);
  if (row.in_vision()) {
    if (!row.per_tower_layer()) return model.vision.*std::get<3>(member);
    return model.vision.layers[static_cast<size_t>(layer)].*std::get<4>(member);
  }
  auto& tensors = model.layers[static_cast<size_t>(layer)];
  if (!row.per_expert()) return tensors.*std::get<1>(member);
  return tensors.experts[static_cast<size_t>(expert)].*std::get<2>(member);
}

// Visits a table: rows of `layers` layers that follow each other layer by layer, others alone.
template <class InLayers, class VisitLayer, class VisitRow>
void ForEachRow(std::span<const TensorRow> table, int64_t layers, const InLayers& in_layers,
                const VisitLayer& visit_layer, const VisitRow& visit_row) {
  for (size_t i = 0; i < table.size();) {
    size_t end = i;
    while (end < table.size() && in_layers(table[end])) ++end;
    for (int64_t layer = 0; end > i && layer < layers; ++layer) {
      for (const TensorRow& row : table.subspan(i, end - i)) visit_layer(row, layer);
    }
    if (end == i) visit_row(table[end++]);
    i = end;
  }
}

}  // namespace

std::span<const TensorRow> TensorTable() { return kTable<WeightMatrix>; }
std::span<const TensorRow> VisionTensorTable() { return kVisionTable<WeightMatrix>; }

const TensorRow& RowOf(TensorMember<WeightMatrix> member) {
  const std::span<const TensorRow> table =
      member.index() >= 3 ? VisionTensorTable() : TensorTable();
  const auto row = std::ranges::find_if(table, [&](const TensorRow& r) { return r.Is(member); });
  FULMEN_CHECK(row != table.end(), "a member without a row");
  return *row;
}

template <class Tensor>
Tensor& TensorAt(ModelTensors<Tensor>& model, const TensorRow& row, int64_t layer, int64_t expert) {
  return Find<Tensor>(model, row, layer, expert);
}

template <class Tensor>
const Tensor& TensorAt(const ModelTensors<Tensor>& model, const TensorRow& row, int64_t layer,
                       int64_t expert) {
  return Find<Tensor>(model, row, layer, expert);
}

template WeightMatrix& TensorAt(ModelWeights&, const TensorRow&, int64_t, int64_t);
template const WeightMatrix& TensorAt(const ModelWeights&, const TensorRow&, int64_t, int64_t);
template Matrix& TensorAt(Gradients&, const TensorRow&, int64_t, int64_t);
template const Matrix& TensorAt(const Gradients&, const TensorRow&, int64_t, int64_t);

void ForEachTensor(const Config& config, const TensorVisitor& visit) {
  ForEachRow(
      TensorTable(), config.layer_count(), [](const TensorRow& row) { return !row.in_model(); },
      [&](const TensorRow& row, int64_t layer) {
        if (!OccursIn(row.layers, config.layers[static_cast<size_t>(layer)])) return;
        if (!row.per_expert()) visit(row, layer, -1);
        for (int64_t e = 0; row.per_expert() && e < config.experts; ++e) visit(row, layer, e);
      },
      [&](const TensorRow& row) {
        if (!row.absent_when_tied || !config.tied_embeddings) visit(row, -1, -1);
      });
  if (!config.vision) return;
  ForEachRow(
      VisionTensorTable(), config.vision->layers,
      [](const TensorRow& row) { return row.per_tower_layer(); },
      [&](const TensorRow& row, int64_t layer) { visit(row, layer, -1); },
      [&](const TensorRow& row) { visit(row, -1, -1); });
}

std::vector<TensorInstance> ExpectedTensors(const Config& config) {
  std::vector<TensorInstance> tensors;
  ForEachTensor(config, [&](const TensorRow& row, int64_t layer, int64_t expert) {
    tensors.push_back({&row, layer, expert, TensorName(OriginalPattern(row, config), layer, expert),
                       TensorShape(row, config)});
  });
  return tensors;
}

bool IsStoredConstant(std::string_view name) {
  constexpr std::array<std::string_view, 5> kConstants = {
      ".self_attn.slope_rate", ".self_attn.query_decay", ".self_attn.key_decay",
      ".self_attn.diagonal_decay", ".rotary_emb.inv_freq"};
  return name.find("model.") != std::string_view::npos &&
         std::any_of(kConstants.begin(), kConstants.end(),
                     [&](std::string_view suffix) { return name.ends_with(suffix); });
}

std::string OriginalPattern(const TensorRow& row, const Config& config) {
  const std::string name(row.original.name);
  return config.vision && !row.in_vision() ? "language_model." + name : name;
}

std::string NativePattern(const TensorRow& row, const Config& config) {
  constexpr std::string_view kModel = "model.";
  constexpr std::string_view kTower = "vision_tower.vision_model.";
  const std::string_view name = row.native.name.empty() ? row.original.name : row.native.name;
  if (!config.vision) return std::string(name);
  if (name.starts_with(kModel)) {
    return fmt::format("model.language_model.{}", name.substr(kModel.size()));
  }
  if (name.starts_with(kTower)) {
    return fmt::format("model.vision_tower.{}", name.substr(kTower.size()));
  }
  return row.in_vision() ? fmt::format("model.{}", name) : std::string(name);
}

std::string TensorName(std::string_view pattern, int64_t layer, int64_t expert) {
  std::string name(pattern);
  const auto replace = [&](std::string_view mark, int64_t value) {
    if (const size_t at = name.find(mark); at != std::string::npos) {
      name.replace(at, mark.size(), std::to_string(value));
    }
  };
  replace("{L}", layer);
  replace("{E}", expert);
  return name;
}

Shape TensorShape(const TensorRow& row, const Config& config) {
  Shape shape;
  for (const Dim dim : row.dims) {
    if (dim != Dim::kNone) shape.push_back(DimSize(dim, config));
  }
  return shape;
}

}  // namespace fulmen
