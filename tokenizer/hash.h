// Hashes for the tokenizer's tables.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace fulmen {

inline uint64_t MixHash(uint64_t x) {
  x *= 0x9E3779B97F4A7C15u;
  return x ^ (x >> 32);
}

// At most 8 bytes as a number, zeros behind them.
inline uint64_t LoadUpTo8(const char* data, size_t size) {
  uint64_t value = 0;
  if (size >= 4) {  // two overlapping loads; a copy of variable size would be a call
    uint32_t low;
    uint32_t high;
    std::memcpy(&low, data, 4);
    std::memcpy(&high, data + size - 4, 4);
    value = uint64_t{low} | uint64_t{high} << (8 * (size - 4));
  } else {
    for (size_t i = 0; i < size; ++i) value |= uint64_t{static_cast<uint8_t>(data[i])} << (8 * i);
  }
  return value;
}

inline uint64_t HashBytes(std::string_view bytes) {
  uint64_t hash = bytes.size();
  const char* data = bytes.data();
  size_t size = bytes.size();
  for (; size > 8; data += 8, size -= 8) hash = MixHash(hash ^ LoadUpTo8(data, 8)) + size;
  return MixHash(hash ^ LoadUpTo8(data, size));
}

}  // namespace fulmen
