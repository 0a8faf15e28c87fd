// AMX: eight tile registers of up to 16 rows of 64 bytes, which are multiplied by one instruction.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace fulmen::cpu {

struct TileShape {
  uint8_t rows;
  uint16_t row_bytes;
};

// Gives this thread's tile registers their shapes, the first of them tmm0's, and fills them with
// zeros; when it goes the registers are free again, and cost the system nothing to switch. Only
// with TargetExtension::kAmx.
class AmxTiles {
 public:
  explicit AmxTiles(std::initializer_list<TileShape> shapes);
  ~AmxTiles();
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;
};

}  // namespace fulmen::cpu
