// A random order of any number of things that takes no memory.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace fulmen {

// Well-mixed bits of x: the output function of SplitMix64 (Steele, Lea and Flood, "Fast splittable
// pseudorandom number generators", 2014).
uint64_t MixBits(uint64_t x);
// One seed out of several numbers, another one for every sequence of them: each is mixed in after
// the ones before it. Added up, seed 0 of stage 1 would be seed 1 of stage 0.
uint64_t MixSeed(std::initializer_list<uint64_t> numbers);

// The index-th element of a pseudo-random permutation of [0, count), another one for every key: a
// Feistel network over the next even power of two whose outputs past `count` are encrypted again
// (cycle walking; Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002, section 3).
// index < count.
uint64_t PermutedIndex(uint64_t index, uint64_t count, uint64_t key);

}  // namespace fulmen
