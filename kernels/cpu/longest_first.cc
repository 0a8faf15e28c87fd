#include "kernels/cpu/longest_first.h"

#include <algorithm>

namespace fulmen::cpu {

std::span<const Slice> LongestFirst(Workspace& workspace, const Slices& slices) {
  Slice* all = workspace.Allocate<Slice>(slices.count());
  size_t count = 0;
  for (int64_t s = 0; s < slices.count(); ++s) {
    if (slices.rows(s) > 0) all[count++] = {s, slices.first(s), slices.rows(s)};
  }
  std::sort(all, all + count, [](const Slice& a, const Slice& b) {
    return a.rows != b.rows ? a.rows > b.rows : a.index < b.index;
  });
  return {all, count};
}

}  // namespace fulmen::cpu
