#include "fetch/byte_ranges.h"

#include <algorithm>
#include <iterator>

namespace fulmen {

void ByteRanges::Add(ByteRange range) {
  if (range.size() <= 0) return;
  auto next = ends_.upper_bound(range.begin);
  if (next != ends_.begin() && std::prev(next)->second >= range.begin) {
    --next;
    range.begin = next->first;
  }
  while (next != ends_.end() && next->first <= range.end) {
    range.end = std::max(range.end, next->second);
    next = ends_.erase(next);
  }
  ends_[range.begin] = range.end;
}

int64_t ByteRanges::total() const {
  int64_t total = 0;
  for (const auto& [begin, end] : ends_) total += end - begin;
  return total;
}

std::vector<ByteRange> ByteRanges::Missing(int64_t size, int64_t most) const {
  std::vector<ByteRange> missing;
  const auto add = [&](int64_t begin, int64_t end) {
    for (; begin < end; begin += most) missing.push_back({begin, std::min(begin + most, end)});
  };
  int64_t behind = 0;
  for (const auto& [begin, end] : ends_) {
    add(behind, std::min(begin, size));
    behind = end;
  }
  add(behind, size);
  return missing;
}

}  // namespace fulmen
