// What a checkpoint holds and what it needs, from config and headers or the index alone.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "formats/checkpoint.h"
#include "model/config.h"

namespace fulmen {

struct ModelSummary {
  Config config;
  // False when only config.json and the index were there; sizes are then what the index declares.
  bool weights_present = false;
  int64_t tensors = 0;
  int64_t lightning_layers = 0;
  int64_t softmax_layers = 0;
  int64_t parameters = 0;
  int64_t active_parameters = 0;                  // without embedding and head
  int64_t active_parameters_with_embeddings = 0;  // with both
  // Type -> bytes. From an index alone the type is only known by its width: "16-bit" and
  // "32-bit" (routers are kept in float32 beside BF16), or "unknown" when the size fits neither.
  std::map<std::string, int64_t> bytes_per_type;
  int64_t weights_bytes = 0;
  int64_t kv_bytes_per_token = 0;       // in float32, as it is kept unless asked
  int64_t kv_bytes_per_token_bf16 = 0;  // as other engines keep it, too
  int64_t state_bytes = 0;              // lightning states of one sequence
  int64_t memory_bytes = 0;             // AvailableMemory()
  // Tokens of context that fit beside the weights, at most the context limit; 0 when not even one.
  int64_t context_that_fits = 0;
  bool fits() const { return context_that_fits > 0; }
};

// Names and, where all weights are there, shapes and types are checked as for loading.
Result<ModelSummary> SummarizeModel(const ModelFiles& files);

struct NonFiniteTensor {
  std::string name;
  int64_t nans = 0;
  int64_t infinities = 0;
};

// Reads every tensor of the checkpoint whose type weights may have; lists those that hold NaN or
// infinity, or quantized values that stand for such.
// `progress` is called from any thread with the bytes of each piece read.
std::vector<NonFiniteTensor> FindNonFinite(const Checkpoint& checkpoint, ThreadPool& pool,
                                           const std::function<void(size_t)>& progress);

}  // namespace fulmen
