#include "accounts/money.h"

#include <gtest/gtest.h>

#include <limits>

namespace fulmen {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();

TEST(Money, GoesThroughTextUnchanged) {
  for (const int64_t nanos : {int64_t{0}, int64_t{1}, int64_t{-1}, int64_t{12'500'000'000},
                              int64_t{9'007'199'254'740'993}, kMost, kLeast}) {
    EXPECT_EQ(ParseMoney(FormatMoney({nanos}))->nanos, nanos);
  }
  EXPECT_EQ(FormatMoney({-12'500'000'000}), "-12.5");
  EXPECT_EQ(FormatMoney({1}), "0.000000001");
  EXPECT_EQ(FormatMoney({3'000'000'000}), "3");
}

TEST(Money, RefusesWhatIsNoAmount) {
  for (const char* text : {"", "-", ".5", "5.", "1e3", "+1", " 1", "1,5", "--1", "1.2.3",
                           "0.0000000001", "9223372036.854775808", "-9223372036.854775809"}) {
    EXPECT_FALSE(ParseMoney(text)) << text;
  }
}

TEST(Money, SaysWhatDoesNotFit) {
  EXPECT_FALSE(Add({kMost}, {1}));
  EXPECT_FALSE(Multiply({kMost / 2}, 3));
  EXPECT_EQ(Add({kMost}, {-1})->nanos, kMost - 1);
  // 8 CNY per million tokens is 8000 a token.
  EXPECT_EQ(FormatMoney(*Multiply({8000}, 1'000'000)), "8");
}

}  // namespace
}  // namespace fulmen
