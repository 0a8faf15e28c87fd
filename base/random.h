// Random numbers that are the same with every compiler and library.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace fulmen {

// Well-mixed bits of x: one step of SplitMix64 (Steele, Lea and Flood, "Fast Splittable
// Pseudorandom Number Generators", 2014) from the state x.
uint64_t MixBits(uint64_t x);
// Wellons' "lowbias32", a 32-bit mixing function without detectable bias.
inline uint32_t Mix32(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x21f0aaadu;
  x = (x ^ (x >> 15)) * 0x735a2d97u;
  return x ^ (x >> 15);
}

// One seed out of several numbers, another one for every sequence of them: each is mixed in after
// the ones before it. Added up, seed 0 of stage 1 would be seed 1 of stage 0.
uint64_t MixSeed(std::initializer_list<uint64_t> numbers);

// SplitMix64 itself: uniform numbers, one after another.
class RandomStream {
 public:
  explicit RandomStream(uint64_t seed) : state_(seed) {}
  uint64_t Next();
  // The upper 53 bits of Next() as a fraction in [0, 1).
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-53; }

 private:
  uint64_t state_;
};

}  // namespace fulmen
