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
  }
  return 0;
}

// The rows of both tables are the same but for the type their members have.
template <class Tensor>
const TensorMember<Tensor>& MemberOf(const TensorRow& row) {
  return kTable<Tensor>[static_cast<size_t>(&row - kTable<WeightMatrix>.data())].member;
}

template <class Tensor, class Model>
auto& Find(Model& model, const TensorRow& row, int64_t layer, int64_t expert) {
  const TensorMember<Tensor>& member = MemberOf<Tensor>(row);
  if (row.in_model()) return model.*std::get<0>(member);
  auto& tensors = model.layers[static_cast<size_t>(layer)];
  if (!row.per_expert()) return tensors.*std::get<1>(member);
  return tensors.experts[static_cast<size_t>(expert)].*std::get<2>(member);
}

}  // namespace

std::span<const TensorRow> TensorTable() { return kTable<WeightMatrix>; }

const TensorRow& RowOf(TensorMember<WeightMatrix> member) {
  const std::span<const TensorRow> table = TensorTable();
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
  const std::span<const TensorRow> table = TensorTable();
  const auto visit_layer = [&](std::span<const TensorRow> rows, int64_t layer) {
    for (const TensorRow& row : rows) {
      if (!OccursIn(row.layers, config.layers[static_cast<size_t>(layer)])) continue;
      if (!row.per_expert()) visit(row, layer, -1);
      for (int64_t e = 0; row.per_expert() && e < config.experts; ++e) visit(row, layer, e);
    }
  };
  for (size_t i = 0; i < table.size();) {
    size_t end = i;
    while (end < table.size() && !table[end].in_model()) ++end;
    for (int64_t layer = 0; end > i && layer < config.layer_count(); ++layer) {
      visit_layer(table.subspan(i, end - i), layer);
    }
    if (end == i) {
      if (!table[i].absent_when_tied || !config.tied_embeddings) visit(table[i], -1, -1);
      ++end;
    }
    i = end;
  }
}

std::vector<TensorInstance> ExpectedTensors(const Config& config) {
  std::vector<TensorInstance> tensors;
  ForEachTensor(config, [&](const TensorRow& row, int64_t layer, int64_t expert) {
    tensors.push_back({&row, layer, expert, TensorName(row.original.name, layer, expert),
                       TensorShape(row, config)});
  });
  return tensors;
}

bool IsStoredConstant(std::string_view name) {
  constexpr std::array<std::string_view, 5> kConstants = {
      ".self_attn.slope_rate", ".self_attn.query_decay", ".self_attn.key_decay",
      ".self_attn.diagonal_decay", ".rotary_emb.inv_freq"};
  return name.starts_with("model.") &&
         std::any_of(kConstants.begin(), kConstants.end(),
                     [&](std::string_view suffix) { return name.ends_with(suffix); });
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
