#include "model/tensor_table.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace fulmen {
namespace {

using enum TensorRole;
using enum TensorScope;

// In file order: what comes before the layers, the layers, what comes after.
constexpr std::array<TensorRow, 17> kTable = {{
    {kTokenEmbedding,
     kModel,
     false,
     false,
     0,
     {Dim::kVocab, Dim::kHidden},
     "model.embed_tokens.weight",
     "",
     "token_embd.weight"},
    {kAttentionNorm,
     kEveryLayer,
     false,
     false,
     -1,
     {Dim::kHidden, Dim::kNone},
     "model.layers.{L}.input_layernorm.weight",
     "",
     "blk.{L}.attn_norm.weight"},
    {kLightningQkv,
     kLightningLayers,
     false,
     false,
     0,
     {Dim::kQkv, Dim::kHidden},
     "model.layers.{L}.self_attn.qkv_proj.weight",
     "",
     "blk.{L}.attn_qkv.weight"},
    {kLightningGate,
     kLightningLayers,
     false,
     false,
     0,
     {Dim::kAttention, Dim::kHidden},
     "model.layers.{L}.self_attn.output_gate.weight",
     "",
     "blk.{L}.attn_gate.weight"},
    {kLightningNorm,
     kLightningLayers,
     false,
     false,
     0,
     {Dim::kAttention, Dim::kNone},
     "model.layers.{L}.self_attn.norm.weight",
     "",
     "blk.{L}.attn_norm_2.weight"},
    {kLightningOutput,
     kLightningLayers,
     false,
     false,
     1,
     {Dim::kHidden, Dim::kAttention},
     "model.layers.{L}.self_attn.out_proj.weight",
     "",
     "blk.{L}.attn_output.weight"},
    {kQuery,
     kSoftmaxLayers,
     false,
     false,
     0,
     {Dim::kAttention, Dim::kHidden},
     "model.layers.{L}.self_attn.q_proj.weight",
     "",
     "blk.{L}.attn_q.weight"},
    {kKey,
     kSoftmaxLayers,
     false,
     false,
     0,
     {Dim::kKv, Dim::kHidden},
     "model.layers.{L}.self_attn.k_proj.weight",
     "",
     "blk.{L}.attn_k.weight"},
    {kValue,
     kSoftmaxLayers,
     false,
     false,
     0,
     {Dim::kKv, Dim::kHidden},
     "model.layers.{L}.self_attn.v_proj.weight",
     "",
     "blk.{L}.attn_v.weight"},
    {kSoftmaxOutput,
     kSoftmaxLayers,
     false,
     false,
     1,
     {Dim::kHidden, Dim::kAttention},
     "model.layers.{L}.self_attn.o_proj.weight",
     "",
     "blk.{L}.attn_output.weight"},
    {kMlpNorm,
     kEveryLayer,
     false,
     false,
     -1,
     {Dim::kHidden, Dim::kNone},
     "model.layers.{L}.post_attention_layernorm.weight",
     "",
     "blk.{L}.ffn_norm.weight"},
    {kRouter,
     kEveryLayer,
     false,
     false,
     -1,
     {Dim::kExperts, Dim::kHidden},
     "model.layers.{L}.block_sparse_moe.gate.weight",
     "model.layers.{L}.mlp.gate.weight",
     "blk.{L}.ffn_gate_inp.weight"},
    {kExpertGate,
     kEveryLayer,
     true,
     false,
     0,
     {Dim::kFfn, Dim::kHidden},
     "model.layers.{L}.block_sparse_moe.experts.{E}.w1.weight",
     "model.layers.{L}.mlp.experts.gate_up_proj",
     "blk.{L}.ffn_gate_exps.weight"},
    {kExpertUp,
     kEveryLayer,
     true,
     false,
     0,
     {Dim::kFfn, Dim::kHidden},
     "model.layers.{L}.block_sparse_moe.experts.{E}.w3.weight",
     "model.layers.{L}.mlp.experts.gate_up_proj",
     "blk.{L}.ffn_up_exps.weight"},
    {kExpertDown,
     kEveryLayer,
     true,
     false,
     1,
     {Dim::kHidden, Dim::kFfn},
     "model.layers.{L}.block_sparse_moe.experts.{E}.w2.weight",
     "model.layers.{L}.mlp.experts.down_proj",
     "blk.{L}.ffn_down_exps.weight"},
    {kOutputNorm,
     kModel,
     false,
     false,
     -1,
     {Dim::kHidden, Dim::kNone},
     "model.norm.weight",
     "",
     "output_norm.weight"},
    {kHead,
     kModel,
     false,
     true,
     0,
     {Dim::kVocab, Dim::kHidden},
     "lm_head.weight",
     "",
     "output.weight"},
}};
static_assert(kTable.size() == static_cast<size_t>(kExpertDown) + 1,
              "every role has exactly one row");

bool OccursIn(TensorScope scope, LayerKind kind) {
  switch (scope) {
    case kModel:
      return false;
    case kEveryLayer:
      return true;
    case kLightningLayers:
      return kind == LayerKind::kLightning;
    case kSoftmaxLayers:
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

void AppendInstances(const TensorRow& row, const Config& config, int64_t layer,
                     std::vector<TensorInstance>& out) {
  const int64_t count = row.per_expert ? config.experts : 1;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t expert = row.per_expert ? i : -1;
    out.push_back(
        {&row, layer, expert, TensorName(row.name, layer, expert), TensorShape(row, config)});
  }
}

}  // namespace

std::span<const TensorRow> TensorTable() { return kTable; }

const TensorRow& RowOf(TensorRole role) {
  const auto* row = std::find_if(kTable.begin(), kTable.end(), [&](const TensorRow& candidate) {
    return candidate.role == role;
  });
  FULMEN_CHECK(row != kTable.end(), "role {}", static_cast<int>(role));
  return *row;
}

std::vector<TensorInstance> ExpectedTensors(const Config& config) {
  std::vector<TensorInstance> tensors;
  const auto append_model = [&](bool before_layers) {
    for (const TensorRow& row : kTable) {
      if (row.scope != kModel || (row.role == kTokenEmbedding) != before_layers) continue;
      if (row.absent_when_tied && config.tied_embeddings) continue;
      AppendInstances(row, config, -1, tensors);
    }
  };
  append_model(true);
  for (int64_t layer = 0; layer < config.layer_count(); ++layer) {
    for (const TensorRow& row : kTable) {
      if (!OccursIn(row.scope, config.layers[static_cast<size_t>(layer)])) continue;
      AppendInstances(row, config, layer, tensors);
    }
  }
  append_model(false);
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
