#include "quantize/gguf_metadata.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

#include "base/json.h"
#include "formats/gguf_model.h"
#include "model/cost.h"
#include "model/gguf_vision.h"

namespace fulmen {
namespace {

uint32_t Count(int64_t value) { return static_cast<uint32_t>(value); }

// "1.7M": at least two digits.
std::string RoundedCount(double count) {
  constexpr std::array<std::pair<double, char>, 4> kUnits = {
      {{1e12, 'T'}, {1e9, 'B'}, {1e6, 'M'}, {1e3, 'K'}}};
  const auto* unit = std::find_if(kUnits.begin(), std::prev(kUnits.end()),
                                  [&](const auto& u) { return count > u.first; });
  const double scaled = count / unit->first;
  return fmt::format("{:.{}f}{}", scaled, std::round(scaled) < 10 ? 1 : 0, unit->second);
}

// "4x1.7M": how many experts, and the parameters of a model of text with one of them.
std::string SizeLabel(const Config& config) {
  const double all_experts = 3.0 * static_cast<double>(config.layer_count() * config.experts) *
                             static_cast<double>(config.hidden_size * config.ffn_size);
  const double shared =
      static_cast<double>(ParameterCount(config) - VisionParameterCount(config)) - all_experts;
  return fmt::format("{}x{}", config.experts,
                     RoundedCount(shared + all_experts / static_cast<double>(config.experts)));
}

// N where every Nth layer is softmax attention and no other is; else 0.
int64_t SoftmaxInterval(const Config& config) {
  const auto first = std::find(config.layers.begin(), config.layers.end(), LayerKind::kSoftmax);
  const int64_t interval = first - config.layers.begin() + 1;
  for (int64_t i = 0; i < config.layer_count(); ++i) {
    const bool softmax = config.layers[static_cast<size_t>(i)] == LayerKind::kSoftmax;
    if (softmax != ((i + 1) % interval == 0)) return 0;
  }
  return interval;
}

Status CheckExpressible(const Config& config, const std::string& where) {
  if (!config.post_norm) {
    return Fail(ErrorCode::kUnsupported,
                "{}: GGUF has no key for residuals before the norm (\"postnorm\": false)", where);
  }
  const float alpha = config.mlp_residual.alpha;
  for (const ResidualScale& scale :
       {config.lightning_residual, config.softmax_residual, config.mlp_residual}) {
    if (scale.beta != 1 || scale.alpha != alpha) {
      return Fail(
          ErrorCode::kUnsupported,
          "{}: GGUF has one key for all residual weights, an alpha with betas of 1, but the "
          "model has {} and {} beside an alpha of {}",
          where, scale.alpha, scale.beta, alpha);
    }
  }
  return {};
}

void AddLayerKinds(const Config& config, GgufMetadata& metadata) {
  if (const int64_t interval = SoftmaxInterval(config); interval != 0) {
    metadata.emplace_back("minimax-01.full_attention_interval", Count(interval));
    return;
  }
  std::vector<int32_t> lightning;
  for (const LayerKind kind : config.layers) lightning.push_back(kind == LayerKind::kLightning);
  metadata.emplace_back("minimax-01.attention.recurrent_layers", std::move(lightning));
}

// Of the mix.
void AddStorage(const Mix& mix, GgufMetadata& metadata) {
  metadata.emplace_back("general.quantization_version", uint32_t{2});
  metadata.emplace_back("general.file_type", mix.file_type);
}

// Whether a key tells how the tensors of its own file are stored, split and were quantized.
bool IsAboutStorage(std::string_view key) {
  constexpr std::array<std::string_view, 3> kKeys = {"general.quantization_version",
                                                     "general.file_type", "general.alignment"};
  return std::find(kKeys.begin(), kKeys.end(), key) != kKeys.end() || key.starts_with("split.") ||
         key.starts_with("quantize.");
}

// The tokens that end a text, the tokenizer's first.
std::vector<int32_t> EndIds(const TokenizerTables& tables, const Model& model) {
  std::vector<int32_t> ids;
  const auto add = [&](int32_t id) {
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  };
  if (tables.eos_id) add(*tables.eos_id);
  for (const int32_t id : model.config.eos_ids) add(id);
  for (const int32_t id : model.generation.eos_ids) add(id);
  return ids;
}

}  // namespace

Result<GgufMetadata> ModelMetadata(const Model& model, const Mix& mix, const std::string& name) {
  const Config& config = model.config;
  FULMEN_TRY(CheckExpressible(config, name));
  GgufMetadata metadata = {
      {"general.architecture", "minimax-01"},
      {"general.type", "model"},
      {"general.name", name},
      {"general.size_label", SizeLabel(config)},
      {"minimax-01.block_count", Count(config.layer_count())},
      {"minimax-01.context_length", Count(config.max_position)},
      {"minimax-01.embedding_length", Count(config.hidden_size)},
      {"minimax-01.feed_forward_length", Count(config.ffn_size)},
      {"minimax-01.attention.head_count", Count(config.heads)},
      {"minimax-01.attention.head_count_kv", Count(config.kv_heads)},
      {"minimax-01.attention.key_length", Count(config.head_dim)},
      {"minimax-01.attention.value_length", Count(config.head_dim)},
      {"minimax-01.attention.layer_norm_rms_epsilon", config.rms_norm_epsilon},
      {"minimax-01.rope.dimension_count", Count(config.rotary_dim)},
      {"minimax-01.rope.freq_base", static_cast<float>(config.rope_base)},
      {"minimax-01.expert_count", Count(config.experts)},
      {"minimax-01.expert_used_count", Count(config.experts_per_token)},
      {"minimax-01.residual_scale", config.mlp_residual.alpha},
  };
  AddLayerKinds(config, metadata);
  AddStorage(mix, metadata);
  return metadata;
}

GgufMetadata VisionMetadata(const Config& config, const Mix& mix, const std::string& name) {
  const VisionConfig& vision = *config.vision;
  std::vector<int32_t> pinpoints;
  for (const Size& size : vision.tiles.pinpoints) {
    pinpoints.push_back(static_cast<int32_t>(size.height));
    pinpoints.push_back(static_cast<int32_t>(size.width));
  }
  const auto channels = [](const std::array<float, 3>& values) {
    return std::vector<float>(values.begin(), values.end());
  };
  GgufMetadata metadata = {
      {"general.architecture", std::string(kMmprojArchitecture)},
      {"general.type", "mmproj"},
      {"general.name", name},
      {"clip.has_vision_encoder", true},
      {"clip.projector_type", std::string(kProjectorType)},
      {"clip.use_gelu", true},
      {"clip.vision.image_size", Count(vision.tiles.tile)},
      {"clip.vision.patch_size", Count(vision.tiles.patch)},
      {"clip.vision.embedding_length", Count(vision.width)},
      {"clip.vision.feed_forward_length", Count(vision.ffn_size)},
      {"clip.vision.block_count", Count(vision.layers)},
      {"clip.vision.attention.head_count", Count(vision.heads)},
      {"clip.vision.attention.layer_norm_epsilon", vision.norm_epsilon},
      {"clip.vision.projection_dim", Count(config.hidden_size)},
      {"clip.vision.image_mean", channels(vision.normalisation.mean)},
      {"clip.vision.image_std", channels(vision.normalisation.std)},
      {"clip.vision.image_grid_pinpoints", std::move(pinpoints)},
      {"clip.vision.mm_patch_merge_type", "spatial_unpad"},
      {"minimax-vl-01.image_token_id", Count(vision.image_token)},
  };
  AddStorage(mix, metadata);
  return metadata;
}

GgufMetadata MetadataFromGguf(const GgufHeader& header, const Mix& mix) {
  GgufMetadata metadata;
  for (const auto& [key, value] : header.metadata) {
    if (!IsAboutStorage(key)) metadata.emplace_back(key, value);
  }
  AddStorage(mix, metadata);
  return metadata;
}

GgufMetadata ImportanceMetadata(const ImportanceMatrix& importance) {
  GgufMetadata metadata;
  if (importance.empty()) return metadata;
  const auto name_of = [](const std::string& path) {
    return std::filesystem::path(path).filename().string();
  };
  if (!importance.file.empty()) {
    metadata.emplace_back("quantize.imatrix.file", name_of(importance.file));
  }
  if (!importance.datasets.empty()) {
    metadata.emplace_back("quantize.imatrix.dataset", name_of(importance.datasets.front()));
  }
  metadata.emplace_back("quantize.imatrix.entries_count", Count(std::ssize(importance.entries)));
  if (importance.chunks > 0) {
    metadata.emplace_back("quantize.imatrix.chunks_count", Count(importance.chunks));
  }
  return metadata;
}

Result<GgufMetadata> TokenizerMetadata(const TokenizerTables& tables, const Model& model,
                                       const std::string& where) {
  if (!tables.published_split) {
    return Fail(ErrorCode::kUnsupported,
                "{}: the tokenizer does not split text as the published models do, and GGUF has no "
                "name for how it does",
                where);
  }
  const auto rows = static_cast<size_t>(model.config.vocab_size);
  if (tables.tokens.size() > rows) {
    return Fail(ErrorCode::kCorrupt, "{}: the tokenizer has {} tokens, the model {}", where,
                tables.tokens.size(), rows);
  }
  std::vector<int32_t> kinds;
  for (const TokenKind kind : tables.kinds) kinds.push_back(static_cast<int32_t>(kind));
  GgufMetadata metadata = {
      {"tokenizer.ggml.model", "gpt2"},         {"tokenizer.ggml.pre", "minimax-m2"},
      {"tokenizer.ggml.tokens", tables.tokens}, {"tokenizer.ggml.token_type", std::move(kinds)},
      {"tokenizer.ggml.merges", tables.merges}, {"tokenizer.ggml.add_bos_token", false},
      {"tokenizer.ggml.add_eos_token", false},
  };
  if (tables.bos_id) metadata.emplace_back("tokenizer.ggml.bos_token_id", Count(*tables.bos_id));
  const std::vector<int32_t> ends = EndIds(tables, model);
  constexpr std::array kEndKeys = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                   "tokenizer.ggml.eom_token_id"};
  for (size_t i = 0; i < std::min(ends.size(), kEndKeys.size()); ++i) {
    metadata.emplace_back(kEndKeys[i], Count(ends[i]));
  }
  std::vector<int32_t> suppressed;
  for (const int32_t id : model.unused_ids) {
    if (std::find(ends.begin(), ends.end(), id) == ends.end()) suppressed.push_back(id);
  }
  if (!suppressed.empty()) {
    metadata.emplace_back("tokenizer.ggml.suppress_tokens", std::move(suppressed));
  }
  if (!tables.chat_template.empty()) {
    metadata.emplace_back("tokenizer.chat_template", tables.chat_template);
  }
  return metadata;
}

}  // namespace fulmen
