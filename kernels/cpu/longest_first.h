// Slices of a batch, as the attention kernels share them out among threads.
#pragma once

#include <cstdint>
#include <span>

#include "base/workspace.h"
#include "kernels/slices.h"

namespace fulmen::cpu {

struct Slice {
  int64_t index;
  int64_t first;  // row
  int64_t rows;
};

// The longest come first, so that threads end together. Empty ones are left out.
std::span<const Slice> LongestFirst(Workspace& workspace, const Slices& slices);

}  // namespace fulmen::cpu
