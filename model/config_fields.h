// What the readers of configs share, whatever a file calls its fields: bounds, and what contradicts
// itself.
#pragma once

#include <cstdint>
#include <span>

#include "model/config.h"
#include "model/json_fields.h"

namespace fulmen {

inline constexpr int64_t kMaxAttention = int64_t{1} << 20;  // heads * head_dim

// The name of each field in a kind of file.
struct GeometryNames {
  const char* vocab_size;
  const char* hidden_size;
  const char* ffn_size;
  const char* heads;
  const char* kv_heads;  // absent: as many as heads
  const char* head_dim;  // absent: hidden size / heads
  const char* experts;
  const char* experts_per_token;
  const char* max_position;
};

// The layers are known already.
void ReadGeometry(JsonFields& fields, const GeometryNames& names, Config& config);
void CheckRotaryDim(JsonFields& fields, const char* name, const Config& config);
// 1e-5 where absent.
float ReadEpsilon(JsonFields& fields, const char* name);
// 1 where absent.
float ReadResidualWeight(JsonFields& fields, const char* name);
// Refuses fields that switch on a feature we do not have. Absent, null, false, 0 and "" switch off,
// and so do lists of these.
void RefuseSwitchedOn(JsonFields& fields, std::span<const char* const> names);

bool HasSoftmax(const Config& config);

}  // namespace fulmen
