#include "quantize/mix.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

#include "base/ascii.h"

namespace fulmen {

namespace {

using Layer = LayerWeights;
using Expert = ExpertTensors<WeightMatrix>;
using Tensors = ModelWeights;

// Which layers a rule is about. llama.cpp spares the first ones and the last.
enum class Layers : uint8_t {
  kAll,
  kFirstTwo,
  kFirstSixteenth,
  kFirstEighth,
  kSpread,  // the first and the last eighth, and every third between them
};

// Which models.
enum class Models : uint8_t {
  kAll,
  kSharedKeys,    // four heads or more to a key: keys and values are a small part of the model
  kEightExperts,  // attention is a small part
};

}  // namespace

struct MixRule {
  TensorMember<WeightMatrix> member;
  DType type;
  Layers layers = Layers::kAll;
  Models models = Models::kAll;
};

namespace {

bool Includes(Layers layers, int64_t layer, int64_t count) {
  const int64_t eighth = count / 8;
  switch (layers) {
    case Layers::kAll:
      return true;
    case Layers::kFirstTwo:
      return layer < 2;
    case Layers::kFirstSixteenth:
      return layer < count / 16;
    case Layers::kFirstEighth:
      return layer < eighth;
    case Layers::kSpread:
      return layer < eighth || layer >= 7 * count / 8 || (layer - eighth) % 3 == 2;
  }
  return false;
}

bool Includes(Models models, const Config& config) {
  switch (models) {
    case Models::kAll:
      return true;
    case Models::kSharedKeys:
      return config.heads >= 4 * config.kv_heads;
    case Models::kEightExperts:
      return config.experts == 8;
  }
  return false;
}

// What all quantized mixes of llama.cpp do: the head in Q6_K, and in models of eight experts keys
// and values in Q8_0. The fused matrix of a lightning layer counts as its values.
constexpr MixRule kHead = {&Tensors::head, DType::kQ6_K};
constexpr MixRule kKey8 = {&Layer::key, DType::kQ8_0, Layers::kAll, Models::kEightExperts};
constexpr MixRule kValue8 = {&Layer::value, DType::kQ8_0, Layers::kAll, Models::kEightExperts};
constexpr MixRule kQkv8 = {&Layer::qkv, DType::kQ8_0, Layers::kAll, Models::kEightExperts};
// And most of the smaller ones.
constexpr MixRule kOutput5 = {&Layer::attention_output, DType::kQ5_K, Layers::kAll,
                              Models::kEightExperts};

constexpr std::array kPlain = {kHead, kKey8, kValue8, kQkv8};

constexpr auto k5M = std::to_array<MixRule>({kHead,
                                             kKey8,
                                             kValue8,
                                             kQkv8,
                                             {&Layer::value, DType::kQ6_K, Layers::kSpread},
                                             {&Layer::qkv, DType::kQ6_K, Layers::kSpread},
                                             {&Expert::down, DType::kQ6_K, Layers::kSpread}});
constexpr auto k4M = std::to_array<MixRule>({kHead,
                                             kKey8,
                                             kValue8,
                                             kQkv8,
                                             kOutput5,
                                             {&Layer::value, DType::kQ6_K, Layers::kSpread},
                                             {&Layer::qkv, DType::kQ6_K, Layers::kSpread},
                                             {&Expert::down, DType::kQ6_K, Layers::kSpread}});
constexpr auto k3M = std::to_array<MixRule>({kHead,
                                             kKey8,
                                             kValue8,
                                             kQkv8,
                                             kOutput5,
                                             {&Layer::value, DType::kQ5_K, Layers::kFirstTwo},
                                             {&Layer::qkv, DType::kQ5_K, Layers::kFirstTwo},
                                             {&Layer::value, DType::kQ4_K},
                                             {&Layer::qkv, DType::kQ4_K},
                                             {&Expert::down, DType::kQ5_K, Layers::kFirstSixteenth},
                                             {&Expert::down, DType::kQ4_K},
                                             {&Layer::attention_output, DType::kQ4_K}});
constexpr auto k2 =
    std::to_array<MixRule>({kHead,
                            kKey8,
                            kValue8,
                            kQkv8,
                            kOutput5,
                            {&Layer::value, DType::kQ4_K, Layers::kAll, Models::kSharedKeys},
                            {&Layer::qkv, DType::kQ4_K, Layers::kAll, Models::kSharedKeys},
                            {&Layer::value, DType::kQ3_K},
                            {&Layer::qkv, DType::kQ3_K},
                            {&Expert::down, DType::kQ3_K},
                            {&Layer::attention_output, DType::kQ3_K}});
constexpr auto kTable4 =
    std::to_array<MixRule>({kHead,
                            kKey8,
                            kValue8,
                            kQkv8,
                            kOutput5,
                            {&Layer::value, DType::kQ5_K, Layers::kAll, Models::kSharedKeys},
                            {&Layer::qkv, DType::kQ5_K, Layers::kAll, Models::kSharedKeys},
                            {&Expert::down, DType::kQ5_K, Layers::kFirstEighth}});
constexpr auto kExperts4 = std::to_array<MixRule>(
    {{&Expert::gate, DType::kQ4_K}, {&Expert::up, DType::kQ4_K}, {&Expert::down, DType::kQ4_K}});

constexpr auto kMixes = std::to_array<Mix>({
    {"F32", DType::kF32, {}, 0, "every tensor as float32"},
    {"BF16", DType::kBF16, {}, 32, "matrices as bfloat16"},
    {"F16", DType::kF16, {}, 1, "matrices as float16"},
    {"Q8_0", DType::kQ8_0, {}, 7, "8.5 bits a weight"},
    {"Q6_K", DType::kQ6_K, kPlain, 18, "6.6 bits"},
    {"Q5_1", DType::kQ5_1, kPlain, 9, "6 bits"},
    {"Q5_K_M", DType::kQ5_K, k5M, 17, "5.5 bits, 6.6 for what suffers most"},
    {"Q5_0", DType::kQ5_0, kPlain, 8, "5.5 bits"},
    {"Q4_1", DType::kQ4_1, kPlain, 3, "5 bits"},
    {"attn8-expert4", DType::kQ8_0, kExperts4, 15, "experts in 4.5 bits, all else in 8.5"},
    {"Q4_K_M", DType::kQ4_K, k4M, 15, "4.5 bits, 6.6 for what suffers most"},
    {"Q4_0", DType::kQ4_0, kPlain, 2, "4.5 bits"},
    {"IQ4_NL", DType::kIQ4_NL, kTable4, 25, "4.5 bits, levels closer around zero"},
    {"IQ4_XS", DType::kIQ4_XS, kTable4, 30, "4.25 bits, levels closer around zero"},
    {"Q3_K_M", DType::kQ3_K, k3M, 12, "3.4 bits, up to 6.6 for what suffers most"},
    {"Q2_K", DType::kQ2_K, k2, 10, "2.6 bits, up to 6.6 for what suffers most"},
});

// What takes the place of a type whose blocks do not divide a row.
DType WithSmallerBlocks(DType type) {
  switch (type) {
    case DType::kQ2_K:
    case DType::kQ3_K:
      return DType::kQ4_0;
    case DType::kQ4_K:
      return DType::kQ5_0;
    case DType::kQ5_K:
      return DType::kQ5_1;
    case DType::kQ6_K:
      return DType::kQ8_0;
    case DType::kIQ4_XS:
      return DType::kIQ4_NL;
    default:
      return DType::kF16;
  }
}

DType ForRowsOf(int64_t elements, DType type) {
  while (elements % FormatOf(type).elements != 0) type = WithSmallerBlocks(type);
  return type;
}

}  // namespace

std::span<const Mix> Mixes() { return kMixes; }

Result<const Mix*> FindMix(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Mix& mix : kMixes) {
    if (LowerCase(mix.name) == LowerCase(name)) return &mix;
    names.push_back(mix.name);
  }
  return Fail(ErrorCode::kInvalidArgument, "unknown type \"{}\", expected one of {}", name,
              fmt::join(names, ", "));
}

DType TypeInMix(const Mix& mix, const Config& config, const TensorRow& row, int64_t layer) {
  const Shape shape = TensorShape(row, config);
  if (shape.size() < 2 || row.Is(&Layer::router)) return DType::kF32;
  // Tied, the embedding is the head, too.
  const bool is_head = config.tied_embeddings && row.Is(&Tensors::token_embedding);
  const TensorMember<WeightMatrix> member = is_head ? &Tensors::head : row.member;
  const auto rule = std::find_if(mix.rules.begin(), mix.rules.end(), [&](const MixRule& r) {
    return r.member == member && Includes(r.layers, layer, config.layer_count()) &&
           Includes(r.models, config);
  });
  return ForRowsOf(shape.back(), rule == mix.rules.end() ? mix.base : rule->type);
}

DType TypeInMmproj(const Config& config, const TensorRow& row, DType stored,
                   std::optional<DType> type) {
  const Shape shape = TensorShape(row, config);
  if (shape.size() < 2 || row.Is(&VisionWeights::position_embedding)) return DType::kF32;
  if (row.Is(&VisionWeights::patch_embedding)) return stored;
  return ForRowsOf(shape.back(), type.value_or(stored));
}

}  // namespace fulmen
