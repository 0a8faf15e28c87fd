#include "images/image.h"

// For the size of its state.
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include <array>

namespace fulmen {

struct PixelDigest::State : XXH3_state_t {};

void PixelDigest::Free::operator()(State* state) const { delete state; }

PixelDigest::PixelDigest(Size size) : state_(new State) {
  XXH3_128bits_reset(state_.get());
  std::array<uint8_t, 16> bytes;  // the same on every machine
  for (size_t i = 0; i < 8; ++i) {
    bytes[i] = static_cast<uint8_t>(size.width >> (8 * i));
    bytes[8 + i] = static_cast<uint8_t>(size.height >> (8 * i));
  }
  Add(bytes.data(), static_cast<int64_t>(bytes.size()));
}

void PixelDigest::Add(const uint8_t* rgb, int64_t bytes) {
  XXH3_128bits_update(state_.get(), rgb, static_cast<size_t>(bytes));
}

ImageDigest PixelDigest::Finish() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_.get());
  return {.high = hash.high64, .low = hash.low64};
}

ImageDigest DigestOf(const Image& image) {
  PixelDigest digest(image.size());
  digest.Add(image.rgb.data(), static_cast<int64_t>(image.rgb.size()));
  return digest.Finish();
}

}  // namespace fulmen
