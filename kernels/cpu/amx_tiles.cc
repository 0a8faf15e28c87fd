#include "kernels/cpu/amx_tiles.h"

#include "base/check.h"

namespace fulmen::cpu {

#if defined(__x86_64__)

namespace {

// What LDTILECFG reads.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

}  // namespace

AmxTiles::AmxTiles(std::initializer_list<TileShape> shapes) {
  TileConfig config;
  int tile = 0;
  for (const TileShape& shape : shapes) {
    config.rows[tile] = shape.rows;
    config.row_bytes[tile] = shape.row_bytes;
    ++tile;
  }
  asm volatile("ldtilecfg %0" : : "m"(config));
}
AmxTiles::~AmxTiles() { asm volatile("tilerelease" : :); }

#else

AmxTiles::AmxTiles(std::initializer_list<TileShape>) {
  FULMEN_CHECK(false, "this processor has no AMX");
}
AmxTiles::~AmxTiles() = default;

#endif  // defined(__x86_64__)

}  // namespace fulmen::cpu
