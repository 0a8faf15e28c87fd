// Where a long prompt leaves snapshots on the way, besides the borders of its messages.
#pragma once

#include <cstdint>

namespace fulmen {

// The first such position after `position`. They are 2^k * (8 + j) / 8 from 256 on, eight in each
// doubling: wherever another request parts, less than a ninth of what they share is read again.
int64_t NextStride(int64_t position);

// How many there are in a prompt of `tokens`.
int64_t StridesIn(int64_t tokens);

}  // namespace fulmen
