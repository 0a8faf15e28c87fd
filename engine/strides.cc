#include "engine/strides.h"

namespace fulmen {

int64_t NextStride(int64_t position) {
  constexpr int64_t kFirst = 256;
  if (position < kFirst) return kFirst;
  int64_t octave = kFirst;
  while (octave * 2 <= position) octave *= 2;
  const int64_t stride = octave / 8;
  return (position / stride + 1) * stride;
}

int64_t StridesIn(int64_t tokens) {
  int64_t count = 0;
  for (int64_t at = NextStride(0); at < tokens; at = NextStride(at)) ++count;
  return count;
}

}  // namespace fulmen
