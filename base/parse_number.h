// Numbers as people write them on a command line: decimal, and nothing around them. Whole numbers
// are digits after at most a minus, so "010" is ten and "0x10", "1e3", "+5", " 5" and "" are
// refused; other numbers may have a point and an exponent, but NaN and infinity are refused.
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>

#include "base/status.h"

namespace fulmen {

// Both ends included.
template <class T>
struct Range {
  T low = std::numeric_limits<T>::lowest();
  T high = std::numeric_limits<T>::max();
};

// T is int32_t, int64_t, uint64_t, float or double. The error reads on after what was to be a
// number: `should be a whole number of at least 1, found "0"`.
template <class T>
Result<T> ParseNumber(std::string_view text, Range<T> range = {});

// "a whole number from 1 to 1024", "a number of at least 0".
template <class T>
std::string DescribeRange(Range<T> range);

}  // namespace fulmen
