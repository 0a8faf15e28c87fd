// A model as a folder of safetensors: what a GGUF file was made of, as far as it still holds it.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "base/dtype.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "formats/model_files.h"
#include "model/folder_writer.h"
#include "model/weights.h"

namespace fulmen {

// What a folder made of a GGUF model holds beside its weights: config, generation config and
// tokenizer, where the file has one. Routers stay float32, as they were published. `type` is F32,
// BF16 or F16.
struct FolderPlan {
  Config config;
  ModelFolder contents;
};
Result<FolderPlan> PlanFolder(const ModelFiles& gguf, const Model& model, DType type);

// Writes it. Weights of the type already are copied, others rounded to it; one that is not finite
// is an error. Everything appears once it is whole. `progress` gets the bytes of each piece written
// and may return false to cancel.
Status WriteFolder(const Model& model, const FolderPlan& plan, const std::string& folder,
                   ThreadPool& pool, const std::function<bool(size_t)>& progress);

}  // namespace fulmen
