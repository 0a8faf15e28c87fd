#include "quantize/convert.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "base/piece_writer.h"
#include "quantize/encode.h"
#include "quantize/gguf_metadata.h"

namespace fulmen {
namespace {

constexpr int64_t kPieceElements = int64_t{1}
                                   << 23;            // made at once, and written while the next are
constexpr int64_t kTaskElements = int64_t{1} << 16;  // made by one thread at a time

bool AllFinite(const std::vector<float>& values) {
  // The difference with itself is NaN of what is not finite; a sum over all keeps that.
  float sum = 0;
  for (const float value : values) sum += value - value;
  return sum == 0;
}

// Makes rows of one matrix, with the threads of a pool.
class RowEncoder {
 public:
  explicit RowEncoder(ThreadPool& pool) : pool_(pool), scratch_(static_cast<size_t>(pool.size())) {}

  // Rows [first, first + count) of `from` as `type` into `out`. False where a value is not finite.
  bool Encode(const WeightMatrix& from, int64_t first, int64_t count, DType type,
              std::span<const float> importance, std::byte* out) {
    const size_t row_bytes = BytesOf(type, from.cols);
    const int64_t task_rows = std::max<int64_t>(1, kTaskElements / from.cols);
    std::atomic<bool> finite = true;
    pool_.ParallelFor((count + task_rows - 1) / task_rows, [&](int64_t task, int worker) {
      const int64_t begin = task * task_rows;
      const int64_t rows = std::min(task_rows, count - begin);
      std::byte* to = out + static_cast<size_t>(begin) * row_bytes;
      if (from.type == type) {
        for (int64_t r = 0; r < rows; ++r) {
          std::memcpy(to + static_cast<size_t>(r) * row_bytes, from.row(first + begin + r),
                      row_bytes);
        }
        return;
      }
      std::vector<float>& values = scratch_[static_cast<size_t>(worker)];
      values.resize(static_cast<size_t>(rows * from.cols));
      for (int64_t r = 0; r < rows; ++r) {
        DequantizeRow(from, first + begin + r, values.data() + r * from.cols);
      }
      if (!AllFinite(values)) {
        finite = false;
        return;
      }
      QuantizeRows(type, values.data(), rows, from.cols, importance, to);
    });
    return finite;
  }

 private:
  ThreadPool& pool_;
  std::vector<std::vector<float>> scratch_;  // by worker
};

// The rows of one matrix, in pieces.
Status WriteMatrix(const FileTensor& tensor, const WeightMatrix& from,
                   std::span<const float> importance, RowEncoder& encoder, PieceWriter& pieces,
                   GgufWriter& writer) {
  const int64_t most = std::max<int64_t>(1, kPieceElements / from.cols);
  for (int64_t first = 0; first < from.rows; first += most) {
    const int64_t count = std::min(most, from.rows - first);
    const auto make = [&](std::span<std::byte> piece) -> Status {
      if (encoder.Encode(from, first, count, tensor.type, importance, piece.data())) return {};
      return Fail(ErrorCode::kCorrupt, "tensor \"{}\" holds a weight that is not finite",
                  tensor.declaration.name);
    };
    FULMEN_TRY(pieces.Write(static_cast<size_t>(count) * BytesOf(tensor.type, from.cols), make,
                            [&writer](std::span<std::byte> piece) { return writer.Write(piece); }));
  }
  return {};
}

Status WriteTensor(const FileTensor& tensor, const Model& model, const ImportanceMatrix& importance,
                   RowEncoder& encoder, PieceWriter& pieces, GgufWriter& writer) {
  const int64_t matrices = tensor.row->per_expert() ? model.config.experts : 1;
  for (int64_t expert = 0; expert < matrices; ++expert) {
    const WeightMatrix& from =
        TensorAt<WeightMatrix>(model.weights, *tensor.row, tensor.layer, expert);
    const std::vector<float> columns =
        ImportanceOf(importance, tensor.declaration.name, expert, matrices);
    FULMEN_TRY(WriteMatrix(tensor, from, columns, encoder, pieces, writer));
  }
  return {};
}

bool HasTokenizer(const TokenizerSource& source) {
  return source.tokenizer_json || (source.vocab && source.merges);
}

// What a model is called: as its folder.
std::string NameOf(const ModelFiles& files) {
  return std::filesystem::path(files.path() + "/.")
      .lexically_normal()
      .parent_path()
      .filename()
      .string();
}

Result<GgufMetadata> TextMetadata(const ModelFiles& files, const Model& model, const Mix& mix) {
  if (files.gguf()) return MetadataFromGguf(files.gguf()->header(), mix);
  FULMEN_ASSIGN(GgufMetadata metadata, ModelMetadata(model, mix, NameOf(files)));
  FULMEN_ASSIGN(const TokenizerSource source, files.ReadTokenizer());
  if (!HasTokenizer(source)) return metadata;
  FULMEN_ASSIGN(const TokenizerTables tables, ReadTokenizerTables(source, model.config.vocab_size));
  FULMEN_ASSIGN(const GgufMetadata tokenizer, TokenizerMetadata(tables, model, files.path()));
  metadata.insert(metadata.end(), tokenizer.begin(), tokenizer.end());
  return metadata;
}

}  // namespace

std::optional<Requantized> FindRequantized(const Model& model, std::span<const GgufFile> files) {
  for (const GgufFile& file : files) {
    for (const FileTensor& tensor : file.tensors) {
      const DType from = TensorAt<WeightMatrix>(model.weights, *tensor.row, tensor.layer, 0).type;
      const bool coarse = IsQuantized(from) && from != DType::kQ8_0;
      if (coarse && IsQuantized(tensor.type) && from != tensor.type) {
        return Requantized{tensor.declaration.name, from, tensor.type};
      }
    }
  }
  return std::nullopt;
}

Result<std::vector<GgufFile>> PlanGguf(const ModelFiles& files, const Model& model,
                                       const GgufPlan& plan, const std::string& path) {
  const Config& config = model.config;
  FULMEN_TRY(CheckGgufPath(path, config.vision.has_value()));
  FULMEN_ASSIGN(GgufMetadata metadata, TextMetadata(files, model, plan.mix));
  std::vector<GgufFile> made;
  made.push_back({path, std::move(metadata), TextFileTensors(config, plan.mix)});
  if (!config.vision) return made;
  const auto stored = [&](const TensorRow& row, int64_t layer) {
    return TensorAt<WeightMatrix>(model.weights, row, layer, -1).type;
  };
  std::vector<FileTensor> tensors = VisionFileTensors(config, stored, plan.mmproj_type);
  const Mix& mix = MixOfVision(tensors);
  made.push_back({MmprojPath(path),
                  files.mmproj() ? MetadataFromGguf(files.mmproj()->header(), mix)
                                 : VisionMetadata(config, mix, NameOf(files)),
                  std::move(tensors)});
  return made;
}

Status WriteGguf(const Model& model, std::span<const GgufFile> files,
                 const ImportanceMatrix& importance, ThreadPool& pool,
                 const std::function<bool(size_t)>& progress) {
  RowEncoder encoder(pool);
  const auto write = [&](const FileTensor& tensor, PieceWriter& pieces, GgufWriter& writer) {
    return WriteTensor(tensor, model, importance, encoder, pieces, writer);
  };
  return WriteGgufFiles(files, write, progress);
}

}  // namespace fulmen
