// Which type each tensor of a model gets when it is quantized, by the names people ask for.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/dtype.h"
#include "base/status.h"
#include "model/config.h"
#include "model/tensor_table.h"

namespace fulmen {

struct MixRule;

// One name and its rules. The names of llama.cpp stand for the types that llama.cpp gives: Q4_K_M
// is Q4_K with some tensors in Q6_K.
struct Mix {
  std::string_view name;
  DType base;                      // of what no rule is about
  std::span<const MixRule> rules;  // the first that fits counts
  uint32_t file_type;              // llama.cpp's number, which a file says in general.file_type
  std::string_view summary;        // for help
};

// In the order of their sizes, largest first.
std::span<const Mix> Mixes();
// Upper or lower case. Fails with the names there are.
Result<const Mix*> FindMix(std::string_view name);

// The type of a row's tensor in layer `layer`. Vectors and routers stay F32, whatever the mix. A
// type whose blocks do not divide the tensor's rows gives way to one of smaller blocks, in the end
// to F16.
DType TypeInMix(const Mix& mix, const Config& config, const TensorRow& row, int64_t layer);

// The type of a tensor of a vision half that is of type `stored` now: `type` for matrices, where
// there is one. Vectors and positions become F32; the embedding of patches stays as it is.
DType TypeInMmproj(const Config& config, const TensorRow& row, DType stored,
                   std::optional<DType> type);

}  // namespace fulmen
