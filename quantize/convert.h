// A model as a GGUF file, its tensors in the types of a mix.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "base/status.h"
#include "base/thread_pool.h"
#include "formats/gguf_writer.h"
#include "formats/model_files.h"
#include "model/weights.h"
#include "quantize/importance.h"
#include "quantize/mix.h"

namespace fulmen {

// One tensor of the file: all experts' matrices, or one.
struct FileTensor {
  const TensorRow* row;
  int64_t layer;
  DType type;
  GgufWriter::Declaration declaration;
};
// In the order of the file.
std::vector<FileTensor> FileTensors(const Config& config, const Mix& mix);
// What is declared of them.
std::vector<GgufWriter::Declaration> TensorsInMix(const Config& config, const Mix& mix);
// Bytes of all of them.
size_t BytesInMix(const Config& config, const Mix& mix);

// A tensor whose type of fewer than 8 bits would become another one: no more than it has already
// lost can come back, and more is lost.
struct Requantized {
  std::string tensor;
  DType from;
  DType to;
};
// The first in the file; nullopt where there is none.
std::optional<Requantized> FindRequantized(const Model& model, const Mix& mix);

// What a file made of the model at `files` says of it; of its tokenizer only where it has one. Of a
// GGUF file that is what it says itself, and the result points into it.
Result<GgufMetadata> MetadataOf(const ModelFiles& files, const Model& model, const Mix& mix);

// What a file is to hold.
struct GgufContents {
  const Mix& mix;
  const GgufMetadata& metadata;
  const ImportanceMatrix& importance;  // empty: all columns count alike
};

// Writes the file, which gets its name only once whole. Memory beside the mapped model is bounded:
// rows are quantized in pieces, each written while the next is made. A tensor that has its type
// already is copied; a weight that is not finite is an error. `progress` gets the bytes of each
// piece written and may return false to cancel.
Status WriteGguf(const Model& model, const GgufContents& contents, const std::string& path,
                 ThreadPool& pool, const std::function<bool(size_t)>& progress);

}  // namespace fulmen
