// A decoded picture, and the one rule by which all decoders bring pictures into this form.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace fulmen {

// Both in pixels, or both in tiles or patches where a name says so.
struct Size {
  int64_t width = 0;
  int64_t height = 0;
  bool operator==(const Size&) const = default;
};

// 8 bits per channel, red, green and blue of a pixel side by side, rows from the top without gaps:
// `rgb` has height * width * 3 bytes.
struct Image {
  int64_t width = 0;
  int64_t height = 0;
  std::vector<uint8_t> rgb;

  Size size() const { return {width, height}; }
  const uint8_t* row(int64_t y) const { return rgb.data() + y * width * 3; }
  bool operator==(const Image&) const = default;
};

// Identifies pixels, whatever file they came from: XXH3 of width, height and `rgb`, 128 bits.
struct ImageDigest {
  uint64_t high = 0;
  uint64_t low = 0;
  bool operator==(const ImageDigest&) const = default;
};
ImageDigest DigestOf(const Image& image);

// The same for whoever goes through the rows anyway: reading them once more from memory takes
// longer than the digest. Add all of `rgb` in order, in pieces of any size.
class PixelDigest {
 public:
  explicit PixelDigest(Size size);
  void Add(const uint8_t* rgb, int64_t bytes);
  ImageDigest Finish() const;

 private:
  struct State;
  struct Free {
    void operator()(State* state) const;
  };
  std::unique_ptr<State, Free> state_;
};

}  // namespace fulmen
