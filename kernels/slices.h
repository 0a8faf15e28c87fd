// The rows of a batch by sequence.
#pragma once

#include <cstdint>
#include <span>

#include "base/check.h"

namespace fulmen {

// Rows starts[s] .. starts[s + 1] of a batch of T rows are slice s: consecutive tokens of one
// sequence, the first of them at positions[s] of it. Operations take positions, block borders and
// the angles of RoPE from there, never from where a slice lies in memory. Two slices of one
// sequence may not share a batch.
struct Slices {
  std::span<const int64_t> starts;     // [S + 1], rising from 0 to T; a slice may be empty
  std::span<const int64_t> positions;  // [S]; empty where every slice begins its sequence

  int64_t count() const { return static_cast<int64_t>(starts.size()) - 1; }
  int64_t first(int64_t slice) const { return starts[static_cast<size_t>(slice)]; }
  int64_t rows(int64_t slice) const { return first(slice + 1) - first(slice); }
  int64_t position(int64_t slice) const {
    return positions.empty() ? 0 : positions[static_cast<size_t>(slice)];
  }
  // One past the position of the slice's last token.
  int64_t end(int64_t slice) const { return position(slice) + rows(slice); }
};

inline void CheckSlices(const Slices& slices, int64_t rows) {
  FULMEN_CHECK(!slices.starts.empty() && slices.starts.front() == 0 && slices.starts.back() == rows,
               "the borders of slices must rise from 0 to {}", rows);
  FULMEN_CHECK(
      slices.positions.empty() || static_cast<int64_t>(slices.positions.size()) == slices.count(),
      "{} positions for {} slices", slices.positions.size(), slices.count());
  for (int64_t s = 0; s < slices.count(); ++s) {
    FULMEN_CHECK(slices.rows(s) >= 0 && slices.position(s) >= 0,
                 "slice {} has {} rows from position {} on", s, slices.rows(s), slices.position(s));
  }
}

}  // namespace fulmen
