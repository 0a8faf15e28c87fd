// ggml's types of tensors, by the numbers that GGUF files have for them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/dtype.h"

namespace fulmen {

// Those that DType has go by the same name there.
struct GgmlType {
  uint32_t id;
  std::string_view name;
  std::string_view instead = {};  // what to quantize to, where DType has it not
};

// nullptr for a number that is no type's.
const GgmlType* FindGgmlType(uint32_t id);
// nullopt for a type that ggml lacks.
std::optional<uint32_t> GgmlTypeId(DType type);

}  // namespace fulmen
