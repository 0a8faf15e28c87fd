#include "model/synth.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/file_io.h"
#include "base/piece_writer.h"
#include "base/random.h"
#include "base/temporaries.h"
#include "formats/safetensors.h"
#include "model/cost.h"
#include "model/tensor_table.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kPieceBlocks = 64;  // blocks generated at once, and written while the next are

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

// Fills tensors, in pieces.
class TensorWriter {
 public:
  TensorWriter(const SynthOptions& options, ThreadPool& pool,
               const std::function<bool(size_t)>& progress)
      : options_(options), pool_(pool), pieces_(progress) {}

  Status Write(const TensorInstance& tensor, SafetensorsWriter& writer) {
    const int64_t elements = ElementCount(tensor.shape);
    constexpr int64_t kPiece = kPieceBlocks * kRandomBlock;
    for (int64_t first = 0; first < elements; first += kPiece) {
      const int64_t count = std::min(elements - first, kPiece);
      const auto make = [&](std::span<std::byte> piece) -> Status {
        Generate(tensor, first, count, piece.data());
        return {};
      };
      FULMEN_TRY(
          pieces_.Write(static_cast<size_t>(count) * DTypeSize(options_.dtype), make,
                        [&writer](std::span<std::byte> piece) { return writer.Write(piece); }));
    }
    return {};
  }

  // Waits for the piece being written; call before the writer goes away.
  Status Settle() { return pieces_.Settle(); }

 private:
  void Generate(const TensorInstance& tensor, int64_t first, int64_t count, std::byte* out) {
    const bool is_norm = tensor.shape.size() == 1;
    if (is_norm) return FillOnes(options_.dtype, count, out);
    const float deviation = RandomDeviation(*tensor.row, tensor.shape.back());
    const uint64_t stream = RandomStreamOf(options_.seed, tensor.name);
    const int64_t blocks = (count + kRandomBlock - 1) / kRandomBlock;
    pool_.ParallelFor(blocks, [&](int64_t block, int) {
      const int64_t begin = block * kRandomBlock;
      FillRandom(options_.dtype, stream, first + begin, std::min(kRandomBlock, count - begin),
                 deviation, out + static_cast<size_t>(begin) * DTypeSize(options_.dtype));
    });
  }

  const SynthOptions& options_;
  ThreadPool& pool_;
  PieceWriter pieces_;
};

using Shard = std::vector<TensorInstance>;

std::vector<Shard> SplitIntoShards(const Config& config, const SynthOptions& options) {
  std::vector<Shard> shards(1);
  size_t used = 0;
  for (TensorInstance& tensor : ExpectedTensors(config)) {
    const size_t bytes = static_cast<size_t>(ElementCount(tensor.shape)) * DTypeSize(options.dtype);
    if (used > 0 && used + bytes > options.shard_bytes) {
      shards.emplace_back();
      used = 0;
    }
    used += bytes;
    shards.back().push_back(std::move(tensor));
  }
  return shards;
}

Status WriteShard(const Shard& shard, DType dtype, const std::string& path, TensorWriter& tensors) {
  std::vector<SafetensorsWriter::Declaration> declarations;
  for (const TensorInstance& tensor : shard) {
    declarations.push_back({tensor.name, dtype, tensor.shape});
  }
  FULMEN_ASSIGN(SafetensorsWriter writer,
                SafetensorsWriter::Create(path, declarations, {{"format", "pt"}}));
  Status status;
  for (const TensorInstance& tensor : shard) {
    if (status) status = tensors.Write(tensor, writer);
  }
  const Status settled = tensors.Settle();
  FULMEN_TRY(status);
  FULMEN_TRY(settled);
  return writer.Finish();
}

// Everything but config.json, into `folder`. Returns the names of the files.
Result<std::vector<std::string>> WriteWeights(const Config& config, const SynthOptions& options,
                                              const std::string& folder, ThreadPool& pool,
                                              const std::function<bool(size_t)>& progress) {
  const std::vector<Shard> shards = SplitIntoShards(config, options);
  TensorWriter tensors(options, pool, progress);
  std::vector<std::string> names;
  Json index;
  index["metadata"]["total_size"] = RandomModelBytes(config, options.dtype);
  Json::object_t map;
  for (size_t i = 0; i < shards.size(); ++i) {
    names.push_back(shards.size() == 1
                        ? "model.safetensors"
                        : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size()));
    FULMEN_TRY(WriteShard(shards[i], options.dtype, folder + "/" + names.back(), tensors));
    std::vector<std::pair<const std::string, Json>>& members = map;
    for (const TensorInstance& tensor : shards[i]) members.emplace_back(tensor.name, names.back());
  }
  if (shards.size() > 1) {
    index["weight_map"] = std::move(map);
    names.emplace_back("model.safetensors.index.json");
    FULMEN_TRY(WriteFileAtomically(folder + "/" + names.back(), index.dump(2) + "\n"));
  }
  return names;
}

// A folder that holds the files until all are whole: inside the target where that exists already,
// else beside it.
class Staging {
 public:
  static Result<Staging> Create(std::string target) {
    while (target.size() > 1 && target.ends_with('/')) target.pop_back();
    std::error_code error;
    const bool existed = fs::exists(target, error);
    Staging staging(target, existed, TemporaryName(existed ? target + "/.synth" : target));
    fs::create_directories(staging.path(), error);
    if (error) return Fail(ErrorCode::kIo, "cannot write {}: {}", target, error.message());
    return staging;
  }

  const std::string& path() const { return folder_.path(); }

  // Gives the named files their place, in order.
  Status Publish(const std::vector<std::string>& names) {
    std::error_code error;
    if (!existed_) {
      fs::rename(path(), target_, error);
      if (error) return Fail(ErrorCode::kIo, "cannot write {}: {}", target_, error.message());
      folder_.Keep();
      return {};
    }
    RemoveFormerWeights();
    for (const std::string& name : names) {
      fs::rename(path() + "/" + name, target_ + "/" + name, error);
      if (error) {
        return Fail(ErrorCode::kIo, "cannot write {}/{}: {}", target_, name, error.message());
      }
    }
    return {};
  }

 private:
  Staging(std::string target, bool existed, std::string folder)
      : target_(std::move(target)), existed_(existed), folder_(std::move(folder)) {}

  // Shards of a former model under names the new one does not use would stay beside it.
  void RemoveFormerWeights() const {
    std::vector<fs::path> former;
    std::error_code error;
    for (fs::directory_iterator it(target_, error), end; !error && it != end; it.increment(error)) {
      const std::string name = it->path().filename().string();
      if (name == "model.safetensors" || name == "model.safetensors.index.json" ||
          (name.starts_with("model-") && name.ends_with(".safetensors"))) {
        former.push_back(it->path());
      }
    }
    for (const fs::path& path : former) fs::remove(path, error);
  }

  std::string target_;
  bool existed_;
  Temporary folder_;
};

Status CheckTarget(const std::string& folder, size_t bytes, bool force) {
  std::error_code error;
  if (fs::exists(folder, error) && !fs::is_directory(folder, error)) {
    return Fail(ErrorCode::kInvalidArgument, "{}: expected a folder to write into, found a file",
                folder);
  }
  if (!force && fs::is_directory(folder, error) && !fs::is_empty(folder, error) && !error) {
    return Fail(ErrorCode::kInvalidArgument, "{}: the folder is not empty (--force writes anyway)",
                folder);
  }
  fs::path existing = fs::absolute(folder, error);
  while (!fs::exists(existing, error) && existing != existing.root_path()) {
    existing = existing.parent_path();
  }
  const fs::space_info space = fs::space(existing, error);
  if (!error && space.capacity > 0 && space.available < bytes) {
    return Fail(ErrorCode::kIo, "{}: the model needs {} bytes, the disk has {} free", folder, bytes,
                space.available);
  }
  return {};
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

Result<Config> PresetConfig(std::string_view name) {
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
    return Fail(ErrorCode::kInvalidArgument,
                "unknown preset \"{}\", expected small, text-01-slice or train-37m", name);
  }
  SetDeepNorm(config);
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
  return row.Is(&ModelWeights::token_embedding) ? 1.0F
                                                : 1.0F / std::sqrt(static_cast<float>(fan_in));
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
  const Json json = ConfigToJson(config, options.dtype == DType::kF32   ? "float32"
                                         : options.dtype == DType::kF16 ? "float16"
                                                                        : "bfloat16");
  FULMEN_TRY(ParseConfig(json, "the model asked for"));
  FULMEN_TRY(CheckTarget(folder, RandomModelBytes(config, options.dtype), options.force));
  FULMEN_ASSIGN(Staging staging, Staging::Create(folder));
  FULMEN_ASSIGN(std::vector<std::string> names,
                WriteWeights(config, options, staging.path(), pool, progress));
  for (const auto& [name, text] : options.beside) {
    FULMEN_TRY(WriteFileAtomically(staging.path() + "/" + name, text));
    names.push_back(name);
  }
  names.emplace_back("config.json");
  FULMEN_TRY(WriteFileAtomically(staging.path() + "/config.json", json.dump(2) + "\n"));
  return staging.Publish(names);
}

}  // namespace fulmen
