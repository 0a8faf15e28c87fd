#include "quantize/random_gguf.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <span>

#include "base/piece_writer.h"
#include "model/synth.h"
#include "quantize/convert.h"
#include "quantize/gguf_metadata.h"
#include "quantize/random_blocks.h"
#include "tokenizer/stand_in.h"

namespace fulmen {
namespace {

constexpr int64_t kPieceElements = 256 * kRandomBlock;

Result<GgufMetadata> RandomMetadata(const Config& config, const Mix& mix, const std::string& path) {
  Model model;
  model.config = config;
  FULMEN_ASSIGN(GgufMetadata metadata,
                ModelMetadata(model, mix, std::filesystem::path(path).stem().string()));
  const std::optional<TokenizerSource> source = StandInTokenizer(config.vocab_size);
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

Status WriteTensor(const FileTensor& tensor, uint64_t seed, ThreadPool& pool, PieceWriter& pieces,
                   GgufWriter& writer) {
  const Shape& shape = tensor.declaration.shape;
  const int64_t elements = ElementCount(shape);
  const uint64_t stream = RandomStreamOf(seed, tensor.declaration.name);
  const float deviation = RandomDeviation(*tensor.row, shape.back());
  for (int64_t first = 0; first < elements; first += kPieceElements) {
    const int64_t count = std::min(kPieceElements, elements - first);
    const auto make = [&](std::span<std::byte> piece) -> Status {
      if (shape.size() == 1) {
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

Status WriteRandomGguf(const Config& config, const Mix& mix, uint64_t seed, const std::string& path,
                       ThreadPool& pool, const std::function<bool(size_t)>& progress) {
  FULMEN_ASSIGN(const GgufMetadata metadata, RandomMetadata(config, mix, path));
  FULMEN_ASSIGN(GgufWriter writer, GgufWriter::Create(path, metadata, TensorsInMix(config, mix)));
  PieceWriter pieces(progress);
  Status status;
  for (const FileTensor& tensor : FileTensors(config, mix)) {
    if (status) status = WriteTensor(tensor, seed, pool, pieces, writer);
  }
  const Status settled = pieces.Settle();
  FULMEN_TRY(status);
  FULMEN_TRY(settled);
  return writer.Finish();
}

}  // namespace fulmen
