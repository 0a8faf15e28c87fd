// What the search for scales works on: 16 groups of weights at a time, one to a lane of a vector.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/quant_blocks.h"

namespace fulmen {

inline constexpr int kGroups = 16;

// A group is the weights that share a scale: 16 or 32. Element e of group g is x[e * kGroups + g].
struct Panel {
  int size = 0;           // elements of a group
  bool weighted = false;  // whether w holds how much each counts; else each counts 1
  alignas(64) float x[kSmallBlock * kGroups];
  alignas(64) float w[kSmallBlock * kGroups];
  alignas(64) float rows[kGroups * kSmallBlock];  // x group by group
};

// Of each group: a number found for it.
struct alignas(64) PerGroup {
  float of[kGroups] = {};
  float& operator[](int g) { return of[g]; }
  float operator[](int g) const { return of[g]; }
};

}  // namespace fulmen
