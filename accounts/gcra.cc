#include "accounts/gcra.h"

#include <algorithm>

#include "base/check.h"

namespace fulmen {
namespace {

constexpr int64_t kMinute = 60'000'000'000;

}  // namespace

GcraAnswer TakeFromBucket(int64_t arrival, int64_t now, int64_t cost, int64_t per_minute) {
  FULMEN_CHECK(per_minute >= 1 && per_minute <= kLargestPerMinute, "{} per minute", per_minute);
  FULMEN_CHECK(cost >= 0, "a cost of {}", cost);
  if (cost > per_minute) return {.kind = GcraAnswer::Kind::kNever, .arrival = arrival};
  const int64_t takes = (cost * kMinute + per_minute - 1) / per_minute;
  const int64_t next = std::max(arrival, now) + takes;
  if (next - now > kMinute) {
    return {.kind = GcraAnswer::Kind::kLater, .arrival = arrival, .wait = next - now - kMinute};
  }
  return {.kind = GcraAnswer::Kind::kPassed, .arrival = next};
}

int64_t CorrectBucket(int64_t arrival, int64_t now, int64_t taken, int64_t used,
                      int64_t per_minute) {
  FULMEN_CHECK(per_minute >= 1 && per_minute <= kLargestPerMinute, "{} per minute", per_minute);
  FULMEN_CHECK(taken >= 0 && used >= 0, "{} taken, {} used", taken, used);
  if (used <= taken) return arrival - std::min(taken - used, per_minute) * kMinute / per_minute;
  return std::max(arrival, now) + std::min(used - taken, per_minute) * kMinute / per_minute;
}

int64_t LeftInBucket(int64_t arrival, int64_t now, int64_t per_minute) {
  FULMEN_CHECK(per_minute >= 1 && per_minute <= kLargestPerMinute, "{} per minute", per_minute);
  const int64_t left = std::clamp<int64_t>(kMinute - (arrival - now), 0, kMinute);
  return left * per_minute / kMinute;
}

}  // namespace fulmen
