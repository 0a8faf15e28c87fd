// The GGUF files that a model is written as: one, and of a model with images one more with its
// vision half.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/piece_writer.h"
#include "base/status.h"
#include "formats/gguf_writer.h"
#include "model/tensor_table.h"
#include "quantize/mix.h"

namespace fulmen {

// One tensor of a file: all experts' matrices, or one.
struct FileTensor {
  const TensorRow* row;
  int64_t layer;
  DType type;
  GgufWriter::Declaration declaration;
};

// One file; tensors are in its order.
struct GgufFile {
  std::string path;
  GgufMetadata metadata;
  std::vector<FileTensor> tensors;
};

// Of the text half.
std::vector<FileTensor> TextFileTensors(const Config& config, const Mix& mix);
// Of the vision half, in the types that TypeInMmproj() gives tensors that are of type `stored` now.
std::vector<FileTensor> VisionFileTensors(
    const Config& config, const std::function<DType(const TensorRow& row, int64_t layer)>& stored,
    std::optional<DType> type);
// The type of most of its weights, as a mix.
const Mix& MixOfVision(std::span<const FileTensor> tensors);

// Bytes of all tensors.
size_t BytesOfTensors(std::span<const GgufFile> files);

// Whether a model, with images or without, can be written at `path`: its vision half needs a name
// beside it, and a text half alone would be taken for that of an mmproj file already there.
Status CheckGgufPath(const std::string& path, bool images);

// Writes the files, which get their names only once all are whole. `write` writes one tensor.
// `progress` gets the bytes of each piece written and may return false to cancel.
using WriteFileTensor =
    std::function<Status(const FileTensor& tensor, PieceWriter& pieces, GgufWriter& writer)>;
Status WriteGgufFiles(std::span<const GgufFile> files, const WriteFileTensor& write,
                      const std::function<bool(size_t)>& progress);

}  // namespace fulmen
