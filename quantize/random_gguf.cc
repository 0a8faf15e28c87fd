#include "quantize/random_gguf.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <span>

#include "formats/gguf_model.h"
#include "model/synth.h"
#include "quantize/gguf_metadata.h"
#include "quantize/random_blocks.h"
#include "tokenizer/stand_in.h"

namespace fulmen {
namespace {

constexpr int64_t kRandomPiece = 256 * kRandomBlock;

std::string NameOf(const std::string& path) { return std::filesystem::path(path).stem().string(); }

Result<GgufMetadata> RandomMetadata(const Config& config, const Mix& mix, const std::string& path) {
  Model model;
  model.config = config;
  FULMEN_ASSIGN(GgufMetadata metadata, ModelMetadata(model, mix, NameOf(path)));
  const std::optional<TokenizerSource> source =
      StandInTokenizer(config.vocab_size, config.vision ? ChatFormat::kVl01 : ChatFormat::kText01);
  if (!source) return metadata;
  FULMEN_ASSIGN(const TokenizerTables tables, ReadTokenizerTables(*source, config.vocab_size));
  FULMEN_ASSIGN(const GgufMetadata tokenizer, TokenizerMetadata(tables, model, path));
  metadata.insert(metadata.end(), tokenizer.begin(), tokenizer.end());
  return metadata;
}

void Fill(DType type, uint64_t stream, int64_t first, int64_t count, float deviation,
          std::byte* out) {
  if (IsQuantized(type)) {
    FillRandomBlocks(type, stream, first, count, deviation, out);
  } else {
    FillRandom(type, stream, first, count, deviation, out);
  }
}

Status WriteTensor(const FileTensor& tensor, const Config& config, uint64_t seed, ThreadPool& pool,
                   PieceWriter& pieces, GgufWriter& writer) {
  const int64_t elements = ElementCount(tensor.declaration.shape);
  const uint64_t stream = RandomStreamOf(seed, tensor.declaration.name);
  const Shape matrix = TensorShape(*tensor.row, config);
  const float deviation = RandomDeviation(*tensor.row, ElementCount(matrix) / matrix.front());
  for (int64_t first = 0; first < elements; first += kRandomPiece) {
    const int64_t count = std::min(kRandomPiece, elements - first);
    const auto make = [&](std::span<std::byte> piece) -> Status {
      if (IsNorm(*tensor.row)) {
        FillOnes(tensor.type, count, piece.data());
        return {};
      }
      pool.ParallelFor((count + kRandomBlock - 1) / kRandomBlock, [&](int64_t block, int) {
        const int64_t begin = block * kRandomBlock;
        Fill(tensor.type, stream, first + begin, std::min(kRandomBlock, count - begin), deviation,
             piece.data() + BytesOf(tensor.type, begin));
      });
      return {};
    };
    FULMEN_TRY(pieces.Write(BytesOf(tensor.type, count), make,
                            [&writer](std::span<std::byte> piece) { return writer.Write(piece); }));
  }
  return {};
}

}  // namespace

Result<std::vector<GgufFile>> PlanRandomGguf(const Config& config, const Mix& mix,
                                             const std::string& path) {
  FULMEN_TRY(CheckGgufPath(path, config.vision.has_value()));
  FULMEN_ASSIGN(GgufMetadata metadata, RandomMetadata(config, mix, path));
  std::vector<GgufFile> files;
  files.push_back({path, std::move(metadata), TextFileTensors(config, mix)});
  if (!config.vision) return files;
  const DType type = IsQuantized(mix.base) ? DType::kBF16 : mix.base;
  std::vector<FileTensor> tensors = VisionFileTensors(
      config, [type](const TensorRow&, int64_t) { return type; }, std::nullopt);
  GgufMetadata vision = VisionMetadata(config, MixOfVision(tensors), NameOf(path));
  files.push_back({MmprojPath(path), std::move(vision), std::move(tensors)});
  return files;
}

Status WriteRandomGguf(const Config& config, std::span<const GgufFile> files, uint64_t seed,
                       ThreadPool& pool, const std::function<bool(size_t)>& progress) {
  const auto write = [&](const FileTensor& tensor, PieceWriter& pieces, GgufWriter& writer) {
    return WriteTensor(tensor, config, seed, pool, pieces, writer);
  };
  return WriteGgufFiles(files, write, progress);
}

}  // namespace fulmen
