#include "serve/metered_call.h"

#include <gtest/gtest.h>

#include "accounts/system_time.h"

namespace fulmen {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

constexpr int64_t kSecond = 1'000'000'000;
// 2026-11-27T12:00:00Z
constexpr int64_t kNoon = 1'795'780'800 * kSecond;

TEST(LimitHeaders, AreThoseOfEachApi) {
  const Limits limits = {.requests = {.limit = 6, .left = 5, .reset = 10 * kSecond},
                         .tokens = {.limit = 24'000, .left = 14'744, .reset = 23'140'000'000}};
  EXPECT_EQ(LimitHeaders(ApiStyle::kOpenAi, limits, kNoon),
            (Headers{{"x-ratelimit-limit-requests", "6"},
                     {"x-ratelimit-remaining-requests", "5"},
                     {"x-ratelimit-reset-requests", "10s"},
                     {"x-ratelimit-limit-tokens", "24000"},
                     {"x-ratelimit-remaining-tokens", "14744"},
                     {"x-ratelimit-reset-tokens", "23.14s"}}));
  EXPECT_EQ(LimitHeaders(ApiStyle::kMiniMax, limits, kNoon),
            LimitHeaders(ApiStyle::kOpenAi, limits, kNoon));
  EXPECT_EQ(LimitHeaders(ApiStyle::kAnthropic, limits, kNoon),
            (Headers{{"anthropic-ratelimit-requests-limit", "6"},
                     {"anthropic-ratelimit-requests-remaining", "5"},
                     {"anthropic-ratelimit-requests-reset", "2026-11-27T12:00:10Z"},
                     {"anthropic-ratelimit-tokens-limit", "24000"},
                     {"anthropic-ratelimit-tokens-remaining", "14744"},
                     {"anthropic-ratelimit-tokens-reset", "2026-11-27T12:00:24Z"}}));
}

TEST(LimitHeaders, TellOfNoLimitThatIsNotThereAndNeverTooShortATime) {
  EXPECT_TRUE(LimitHeaders(ApiStyle::kOpenAi, {}, kNoon).empty());
  const auto reset = [](int64_t nanoseconds) {
    const Limits limits = {.requests = {.limit = 1, .left = 0, .reset = nanoseconds}, .tokens = {}};
    return LimitHeaders(ApiStyle::kOpenAi, limits, kNoon).back().second;
  };
  EXPECT_EQ(reset(0), "0ms");
  EXPECT_EQ(reset(1), "1ms");
  EXPECT_EQ(reset(999'000'000), "999ms");
  EXPECT_EQ(reset(999'000'001), "1s");
  EXPECT_EQ(reset(kSecond + 1), "1.01s");
  EXPECT_EQ(reset(60 * kSecond), "60s");
}

}  // namespace
}  // namespace fulmen
