// AMX: eight tile registers of 16 rows of 64 bytes, which are multiplied by one instruction.
#pragma once

#include <cstdint>
#include <utility>

namespace fulmen::cpu {

// Makes this thread's tile registers whole and fills them with zeros; when it goes they are free
// again, and cost the system nothing to switch. Only with TargetExtension::kAmx, like all below.
class AmxTiles {
 public:
  AmxTiles();
  ~AmxTiles();
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;
};

#if defined(__x86_64__)

// Rows of a tile lie `stride` bytes apart in memory.
template <int kTile>
inline void LoadTile(const void* from, int64_t stride) {
  asm volatile("tileloadd (%0, %1, 1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(kTile) : "memory");
}
template <int kTile>
inline void StoreTile(void* to, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0, %1, 1)" : : "r"(to), "r"(stride), "i"(kTile) : "memory");
}
template <int kTile>
inline void ClearTile() {
  asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
}
// kSum += kLeft kRight: bytes with a sign, four to each sum of 32 bits.
template <int kSum, int kLeft, int kRight>
inline void AddByteProducts() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kLeft), "i"(kRight));
}
// The same of BF16, two to each float32: those at even and at odd places are summed by themselves
// (Intel's manual, TDPBF16PS). Subnormal numbers count as zero.
template <int kSum, int kLeft, int kRight>
inline void AddBf16Products() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kLeft), "i"(kRight));
}

#endif  // defined(__x86_64__)

// visit.operator()<i>() for i in 0 .. kCount - 1: registers are named at compile time.
template <int kCount, class Visit>
inline void ForEachIndex(const Visit& visit) {
  const auto visit_all = [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) {
    (visit.template operator()<kIndex>(), ...);
  };
  visit_all(std::make_integer_sequence<int, kCount>());
}

}  // namespace fulmen::cpu
