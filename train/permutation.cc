#include "train/permutation.h"

#include <bit>

#include "base/check.h"
#include "base/random.h"

namespace fulmen {

uint64_t PermutedIndex(uint64_t index, uint64_t count, uint64_t key) {
  FULMEN_CHECK(index < count, "index {} of {}", index, count);
  constexpr uint64_t kRounds = 6;
  const int half = (std::bit_width(count - 1) + 1) / 2;
  const uint64_t mask = (uint64_t{1} << half) - 1;
  do {
    uint64_t left = index >> half;
    uint64_t right = index & mask;
    for (uint64_t round = 0; round < kRounds; ++round) {
      const uint64_t mixed = left ^ (MixBits(key + (round << half | right)) & mask);
      left = right;
      right = mixed;
    }
    index = left << half | right;
  } while (index >= count);  // ends: the way through a permutation returns to where it began
  return index;
}

}  // namespace fulmen
