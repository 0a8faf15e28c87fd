// A model as GGUF files, its tensors in the types of a mix.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "formats/model_files.h"
#include "model/weights.h"
#include "quantize/gguf_files.h"
#include "quantize/importance.h"
#include "quantize/mix.h"

namespace fulmen {

// A tensor whose type of fewer than 8 bits would become another one: no more than it has already
// lost can come back, and more is lost.
struct Requantized {
  std::string tensor;
  DType from;
  DType to;
};
// The first in the files; nullopt where there is none.
std::optional<Requantized> FindRequantized(const Model& model, std::span<const GgufFile> files);

// How a model is to be written.
struct GgufPlan {
  const Mix& mix;
  std::optional<DType> mmproj_type = {};  // of the vision half's matrices; else they keep theirs
};
// The file at `path` that the model at `files` becomes, and where it has a vision half, the one at
// MmprojPath(path). They say of the tokenizer what there is, and of a GGUF model all that it says
// itself; the result points into it then.
Result<std::vector<GgufFile>> PlanGguf(const ModelFiles& files, const Model& model,
                                       const GgufPlan& plan, const std::string& path);

// Writes them as WriteGgufFiles() does. Memory beside the mapped model is bounded: rows are
// quantized in pieces, each written while the next is made. A tensor that has its type already is
// copied; a weight that is not finite is an error. `importance`, of text alone, may be empty: all
// columns count alike.
Status WriteGguf(const Model& model, std::span<const GgufFile> files,
                 const ImportanceMatrix& importance, ThreadPool& pool,
                 const std::function<bool(size_t)>& progress);

}  // namespace fulmen
