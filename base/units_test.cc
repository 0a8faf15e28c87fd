#include "base/units.h"

#include <gtest/gtest.h>

#include <utility>

namespace fulmen {
namespace {

TEST(Units, CountsHaveOneDecimalPastAThousand) {
  for (const auto& [count, text] : {std::pair<int64_t, const char*>{0, "0"},
                                    {999, "999"},
                                    {1000, "1.0 K"},
                                    {61'440, "61.4 K"},
                                    {999'949, "999.9 K"},
                                    {999'951, "1.0 M"},
                                    {456'100'000'000, "456.1 B"}}) {
    EXPECT_EQ(HumanCount(count), text);
    EXPECT_EQ(HumanCount(static_cast<double>(count)), text);
  }
}

TEST(Units, BytesAreDecimal) {
  EXPECT_EQ(HumanBytes(12), "12 B");
  EXPECT_EQ(HumanBytes(40'900), "40.9 kB");
  EXPECT_EQ(HumanBytes(912'200'000'000), "912.2 GB");
}

}  // namespace
}  // namespace fulmen
