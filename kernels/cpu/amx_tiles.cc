#include "kernels/cpu/amx_tiles.h"

#include <algorithm>
#include <cstdint>

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

AmxTiles::AmxTiles() {
  TileConfig config;
  std::fill_n(config.row_bytes, 8, uint16_t{64});
  std::fill_n(config.rows, 8, uint8_t{16});
  asm volatile("ldtilecfg %0" : : "m"(config));
}
AmxTiles::~AmxTiles() { asm volatile("tilerelease" : :); }

#else

AmxTiles::AmxTiles() { FULMEN_CHECK(false, "this processor has no AMX"); }
AmxTiles::~AmxTiles() = default;

#endif  // defined(__x86_64__)

}  // namespace fulmen::cpu
