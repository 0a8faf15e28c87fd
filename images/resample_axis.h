// What each pixel along one axis of the result is made of.
#pragma once

#include <cstdint>
#include <vector>

namespace fulmen {

constexpr int kWeightBits = 22;  // behind the point

struct ResampleAxis {
  struct Window {
    int64_t first;  // source pixel
    int64_t count;
  };
  int64_t taps = 0;              // the most of any window
  std::vector<Window> windows;   // one per pixel of the result; neither end ever moves back
  std::vector<int32_t> weights;  // [result, taps]; 0 behind a window's end

  const int32_t* weights_of(int64_t i) const { return weights.data() + i * taps; }
};

// From `in` pixels to `out`, both at least 1.
ResampleAxis MakeResampleAxis(int64_t in, int64_t out);

}  // namespace fulmen
