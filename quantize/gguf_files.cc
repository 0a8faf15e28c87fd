#include "quantize/gguf_files.h"

#include <algorithm>
#include <filesystem>

#include "base/check.h"
#include "formats/gguf_model.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;

FileTensor MakeTensor(const Config& config, const TensorRow& row, int64_t layer, DType type) {
  Shape shape = TensorShape(row, config);
  if (row.per_expert()) shape.insert(shape.begin(), config.experts);
  return {&row, layer, type, {TensorName(row.gguf.name, layer, -1), type, std::move(shape)}};
}

}  // namespace

std::vector<FileTensor> TextFileTensors(const Config& config, const Mix& mix) {
  std::vector<FileTensor> tensors;
  ForEachTensor(config, [&](const TensorRow& row, int64_t layer, int64_t expert) {
    if (row.in_vision() || expert > 0) return;  // experts are in the stack of the first
    tensors.push_back(MakeTensor(config, row, layer, TypeInMix(mix, config, row, layer)));
  });
  return tensors;
}

std::vector<FileTensor> VisionFileTensors(
    const Config& config, const std::function<DType(const TensorRow& row, int64_t layer)>& stored,
    std::optional<DType> type) {
  std::vector<FileTensor> tensors;
  ForEachTensor(config, [&](const TensorRow& row, int64_t layer, int64_t) {
    if (!row.in_vision()) return;
    tensors.push_back(
        MakeTensor(config, row, layer, TypeInMmproj(config, row, stored(row, layer), type)));
  });
  return tensors;
}

const Mix& MixOfVision(std::span<const FileTensor> tensors) {
  const auto largest = std::ranges::find_if(tensors, [](const FileTensor& tensor) {
    return tensor.row->Is(&VisionWeights::projector_out);
  });
  FULMEN_CHECK(largest != tensors.end(), "a vision half without a projector");
  const auto mix = std::ranges::find(Mixes(), largest->type, &Mix::base);
  FULMEN_CHECK(mix != Mixes().end(), "no mix of {}", DTypeName(largest->type));
  return *mix;
}

size_t BytesOfTensors(std::span<const GgufFile> files) {
  size_t bytes = 0;
  for (const GgufFile& file : files) {
    for (const FileTensor& tensor : file.tensors) {
      bytes += BytesOf(tensor.type, ElementCount(tensor.declaration.shape));
    }
  }
  return bytes;
}

Status CheckGgufPath(const std::string& path, bool images) {
  std::error_code absent;
  const bool stream =
      path == "-" || (fs::exists(path, absent) && !fs::is_regular_file(path, absent) &&
                      !fs::is_directory(path, absent));
  if (images && stream) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: a model with images becomes two files, so OUT should be the name of a file",
                path == "-" ? "standard output" : path);
  }
  const std::string mmproj = MmprojPath(path);
  if (!images && !stream && fs::exists(mmproj, absent)) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: would be taken for the vision half of {}, which has none; give another name, "
                "or move that file away",
                mmproj, path);
  }
  return {};
}

Status WriteGgufFiles(std::span<const GgufFile> files, const WriteFileTensor& write,
                      const std::function<bool(size_t)>& progress) {
  std::vector<GgufWriter> writers;
  for (const GgufFile& file : files) {
    std::vector<GgufWriter::Declaration> declarations;
    for (const FileTensor& tensor : file.tensors) declarations.push_back(tensor.declaration);
    FULMEN_ASSIGN(GgufWriter writer, GgufWriter::Create(file.path, file.metadata, declarations));
    writers.push_back(std::move(writer));
  }
  PieceWriter pieces(progress);
  Status status;
  for (size_t i = 0; i < files.size(); ++i) {
    for (const FileTensor& tensor : files[i].tensors) {
      if (status) status = write(tensor, pieces, writers[i]);
    }
  }
  const Status settled = pieces.Settle();
  FULMEN_TRY(status);
  FULMEN_TRY(settled);
  // The disk may take long; names are given in a moment. The model's own comes last: whoever finds
  // it finds the other.
  for (GgufWriter& writer : writers) FULMEN_TRY(writer.Flush());
  for (size_t i = writers.size(); i-- > 0;) FULMEN_TRY(writers[i].Finish());
  return {};
}

}  // namespace fulmen
