// A random order of any number of things that takes no memory.
#pragma once

#include <cstdint>

namespace fulmen {

// The index-th element of a pseudo-random permutation of [0, count), another one for every key: a
// Feistel network over the next even power of two whose outputs past `count` are encrypted again
// (cycle walking; Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002, section 3).
// index < count.
uint64_t PermutedIndex(uint64_t index, uint64_t count, uint64_t key);

}  // namespace fulmen
