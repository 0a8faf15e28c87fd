#include "images/image.h"

#include <xxhash.h>

#include <array>
#include <memory>

#include "base/check.h"

namespace fulmen {

ImageDigest DigestOf(const Image& image) {
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                       &XXH3_freeState);
  FULMEN_CHECK(state != nullptr, "no memory for a digest");
  std::array<uint8_t, 16> size;  // the same on every machine
  for (int i = 0; i < 8; ++i) {
    size[static_cast<size_t>(i)] = static_cast<uint8_t>(image.width >> (8 * i));
    size[static_cast<size_t>(8 + i)] = static_cast<uint8_t>(image.height >> (8 * i));
  }
  XXH3_128bits_reset(state.get());
  XXH3_128bits_update(state.get(), size.data(), size.size());
  XXH3_128bits_update(state.get(), image.rgb.data(), image.rgb.size());
  const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
  return {.high = hash.high64, .low = hash.low64};
}

}  // namespace fulmen
