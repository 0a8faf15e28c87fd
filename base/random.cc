#include "base/random.h"

namespace fulmen {
namespace {

constexpr uint64_t kStep = 0x9e3779b97f4a7c15u;

}  // namespace

uint64_t MixBits(uint64_t x) {
  x += kStep;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t MixSeed(std::initializer_list<uint64_t> numbers) {
  uint64_t seed = 0;
  for (const uint64_t number : numbers) seed = MixBits(seed ^ MixBits(number));
  return seed;
}

uint64_t RandomStream::Next() {
  const uint64_t state = state_;
  state_ += kStep;
  return MixBits(state);
}

}  // namespace fulmen
