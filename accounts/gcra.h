// The limit of a rate as one number (GCRA): a bucket that holds a minute's worth and fills evenly.
#pragma once

#include <cstdint>

namespace fulmen {

constexpr int64_t kLargestPerMinute = 100'000'000;  // so that no product overflows

struct GcraAnswer {
  enum class Kind { kPassed, kLater, kNever };

  Kind kind = Kind::kNever;  // kNever: more than the bucket ever holds
  int64_t arrival = 0;       // nanoseconds: what to keep; unchanged unless it passed
  int64_t wait = 0;          // nanoseconds until it would pass; 0 unless kLater
};

// Whether `cost` may be taken at `now`. `arrival` is when the bucket is full again, and 0 for a new
// one; it and `now` are nanoseconds of one clock. `per_minute` is from 1 to kLargestPerMinute, and
// `cost` is not negative. Waits are rounded up, by less than a nanosecond.
GcraAnswer TakeFromBucket(int64_t arrival, int64_t now, int64_t cost, int64_t per_minute);

// What to keep once `used` were used in place of the `taken` before. More than was taken is a debt
// that later takes wait for, a minute's worth at most.
int64_t CorrectBucket(int64_t arrival, int64_t now, int64_t taken, int64_t used,
                      int64_t per_minute);

// What is in the bucket, whole ones only.
int64_t LeftInBucket(int64_t arrival, int64_t now, int64_t per_minute);

}  // namespace fulmen
