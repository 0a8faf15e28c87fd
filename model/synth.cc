#include "model/synth.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "model/cost.h"
#include "model/tensor_table.h"

namespace fulmen {
namespace {

// A sum of four uniform 16-bit numbers, centred: deviation kSumDeviation, nearly normal.
constexpr float kSumDeviation = 37837.2266F;  // sqrt(4 * (2^32 - 1) / 12)
inline float CentredSum(uint32_t key, uint32_t salt, uint32_t index) {
  const uint32_t a = Mix32(index ^ key);
  const uint32_t b = a * 0x9e3779b1u + salt;
  const uint32_t c = b ^ (b >> 15);
  const uint32_t sum = (a & 0xffffu) + (a >> 16) + (c & 0xffffu) + (c >> 16);
  return static_cast<float>(static_cast<int32_t>(sum) - 131070);
}

// Loops over plain arrays so that the compiler vectorises them.
template <class T, class Convert>
void FillBlock(uint64_t block_key, int64_t count, float scale, T* out, const Convert& convert) {
  const auto key = static_cast<uint32_t>(block_key);
  const auto salt = static_cast<uint32_t>(block_key >> 32);
  for (uint32_t i = 0; i < static_cast<uint32_t>(count); ++i) {
    out[i] = convert(CentredSum(key, salt, i) * scale);
  }
}

// Elements [first, first + count) of a tensor.
void FillTensor(const TensorInstance& tensor, DType type, uint64_t seed, int64_t first,
                int64_t count, ThreadPool& pool, std::byte* out) {
  if (IsNorm(*tensor.row)) return FillOnes(type, count, out);
  const int64_t fan_in = ElementCount(tensor.shape) / tensor.shape.front();
  const float deviation = RandomDeviation(*tensor.row, fan_in);
  const uint64_t stream = RandomStreamOf(seed, tensor.name);
  const int64_t blocks = (count + kRandomBlock - 1) / kRandomBlock;
  pool.ParallelFor(blocks, [&](int64_t block, int) {
    const int64_t begin = block * kRandomBlock;
    FillRandom(type, stream, first + begin, std::min(kRandomBlock, count - begin), deviation,
               out + static_cast<size_t>(begin) * DTypeSize(type));
  });
}

}  // namespace

std::vector<LayerKind> LayerPattern(int64_t layers, int64_t softmax_every) {
  std::vector<LayerKind> kinds;
  for (int64_t i = 0; i < layers; ++i) {
    const bool softmax = softmax_every > 0 && (i + 1) % softmax_every == 0;
    kinds.push_back(softmax ? LayerKind::kSoftmax : LayerKind::kLightning);
  }
  return kinds;
}

void SetDeepNorm(Config& config) {
  const auto alpha =
      static_cast<float>(std::pow(2.0 * static_cast<double>(config.layer_count()), 0.25));
  config.lightning_residual = config.softmax_residual = config.mlp_residual = {alpha, 1};
}

namespace {

Result<Config> TextPreset(std::string_view name) {
  Config config;
  config.architecture = "MiniMaxText01ForCausalLM";
  config.vocab_size = 32000;
  config.head_dim = 128;
  config.rotary_dim = 64;
  config.rope_base = 1e7;
  config.experts_per_token = 2;
  if (name == "small") {
    config.hidden_size = 1024;
    config.heads = 8;
    config.kv_heads = 2;
    config.experts = 8;
    config.ffn_size = 1536;
    config.max_position = 131072;
    config.layers = LayerPattern(16, 8);
  } else if (name == "text-01-slice") {
    config.hidden_size = 6144;
    config.heads = 64;
    config.kv_heads = 8;
    config.experts = 32;
    config.ffn_size = 9216;
    config.max_position = 10'240'000;
    config.layers = LayerPattern(2, 2);
  } else if (name == "train-37m") {
    config.vocab_size = 4096;
    config.hidden_size = 384;
    config.heads = 6;
    config.kv_heads = 2;
    config.head_dim = 64;
    config.rotary_dim = 32;
    config.experts = 4;
    config.ffn_size = 768;
    config.max_position = 131072;
    config.layers = LayerPattern(8, 8);
  } else {
    return Fail(ErrorCode::kInvalidArgument, "unknown preset \"{}\", expected one of {}", name,
                fmt::join(PresetNames(), ", "));
  }
  SetDeepNorm(config);
  return config;
}

// What reads the images of a model with a preset's text half.
VisionConfig PresetVision(bool small, int64_t vocab_size) {
  VisionConfig vision;
  vision.tiles = {.tile = 336, .patch = 14, .pinpoints = ReleasedPinpoints()};
  vision.normalisation = ClipNormalisation();
  vision.width = small ? 384 : 1024;
  vision.heads = small ? 6 : 16;
  vision.ffn_size = 4 * vision.width;
  vision.layers = small ? 6 : 24;
  vision.image_token = static_cast<int32_t>(vocab_size - 1);  // of the tokenizers made up
  return vision;
}

}  // namespace

std::vector<std::string> PresetNames() {
  return {"small", "text-01-slice", "train-37m", "vl-small", "vl-01-slice"};
}

Result<Config> PresetConfig(std::string_view name) {
  const bool small = name == "vl-small";
  if (!small && name != "vl-01-slice") return TextPreset(name);
  FULMEN_ASSIGN(Config config, TextPreset(small ? "small" : "text-01-slice"));
  config.architecture = "MiniMaxVL01ForConditionalGeneration";
  config.vision = PresetVision(small, config.vocab_size);
  return config;
}

void FillRandom(DType type, uint64_t stream, int64_t first, int64_t count, float deviation,
                std::byte* out) {
  FULMEN_CHECK(first % kRandomBlock == 0, "first {}", first);
  const float scale = deviation / kSumDeviation;
  for (int64_t done = 0; done < count; done += kRandomBlock) {
    const uint64_t key = MixBits(stream + static_cast<uint64_t>((first + done) / kRandomBlock));
    const int64_t block = std::min(kRandomBlock, count - done);
    std::byte* at = out + static_cast<size_t>(done) * DTypeSize(type);
    if (type == DType::kF32) {
      FillBlock(key, block, scale, reinterpret_cast<float*>(at), [](float x) { return x; });
    } else if (type == DType::kBF16) {
      // Finite always, so the plain rounding does.
      FillBlock(key, block, scale, reinterpret_cast<uint16_t*>(at), [](float x) {
        const auto bits = std::bit_cast<uint32_t>(x);
        return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
      });
    } else {
      FULMEN_CHECK(type == DType::kF16, "{}", DTypeName(type));
      FillBlock(key, block, scale, reinterpret_cast<uint16_t*>(at), F16FromF32);
    }
  }
}

uint64_t RandomStreamOf(uint64_t seed, const std::string& name) {
  uint64_t hash = MixBits(seed);
  for (const char c : name) hash = MixBits(hash ^ static_cast<unsigned char>(c));
  return hash;
}

float RandomDeviation(const TensorRow& row, int64_t fan_in) {
  constexpr float kVector = 0.02F;  // what CLIP begins with
  if (row.in_vision() && row.dims[1] == Dim::kNone) return kVector;
  return row.Is(&ModelWeights::token_embedding) ? 1.0F
                                                : 1.0F / std::sqrt(static_cast<float>(fan_in));
}

bool IsNorm(const TensorRow& row) {
  if (!row.in_vision()) return row.dims[1] == Dim::kNone;
  return row.Is(&VisionWeights::norm) || row.Is(&VisionLayerWeights::attention_norm) ||
         row.Is(&VisionLayerWeights::mlp_norm);
}

void FillOnes(DType type, int64_t count, std::byte* out) {
  switch (type) {
    case DType::kF32:
      std::fill_n(reinterpret_cast<float*>(out), count, 1.0F);
      return;
    case DType::kF16:
      std::fill_n(reinterpret_cast<uint16_t*>(out), count, F16FromF32(1));
      return;
    case DType::kBF16:
      std::fill_n(reinterpret_cast<uint16_t*>(out), count, BF16FromF32(1));
      return;
    default:
      FULMEN_CHECK(false, "random weights of type {}", DTypeName(type));
  }
}

size_t RandomModelBytes(const Config& config, DType dtype) {
  return static_cast<size_t>(ParameterCount(config)) * DTypeSize(dtype);
}

Status WriteRandomModel(const Config& config, const SynthOptions& options,
                        const std::string& folder, ThreadPool& pool,
                        const std::function<bool(size_t)>& progress) {
  const auto fill = [&](const TensorInstance& tensor, DType type, int64_t first, int64_t count,
                        std::byte* out) -> Status {
    FillTensor(tensor, type, options.seed, first, count, pool, out);
    return {};
  };
  return WriteModelFiles(config, options, fill, folder, progress);
}

}  // namespace fulmen
