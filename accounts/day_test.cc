#include "accounts/day.h"

#include <gtest/gtest.h>

namespace fulmen {
namespace {

constexpr int64_t kHour = 3'600'000'000'000;

TEST(Day, StartsAndEndsWhereItsZoneSays) {
  constexpr int64_t kNoon = 1'795'780'800'000'000'000;  // 2026-11-27, in UTC
  EXPECT_EQ(DayAt("UTC", kNoon).name, "2026-11-27");
  EXPECT_EQ(DayAt("UTC", kNoon).start, kNoon - 12 * kHour);
  const Day shanghai = DayAt("Asia/Shanghai", kNoon + 4 * kHour);
  EXPECT_EQ(shanghai.name, "2026-11-28");
  EXPECT_EQ(shanghai.start, kNoon + 4 * kHour) << "an instant is in the day that it starts";
  EXPECT_EQ(DayAt("Asia/Shanghai", kNoon + 4 * kHour - 1).end, shanghai.start);
  EXPECT_EQ(DayAt("Asia/Kathmandu", kNoon).start % kHour, kHour / 4);
}

TEST(Day, Has23Or25HoursWhereClocksAreChanged) {
  constexpr int64_t kSpring = 1'774'742'400'000'000'000;  // 2026-03-29, midnight of UTC
  const Day spring = DayAt("Europe/Berlin", kSpring);
  EXPECT_EQ(spring.name, "2026-03-29");
  EXPECT_EQ(spring.start, kSpring - kHour);
  EXPECT_EQ(spring.end - spring.start, 23 * kHour);
  constexpr int64_t kAutumn = 1'792'886'400'000'000'000;  // 2026-10-25
  const Day autumn = DayAt("Europe/Berlin", kAutumn);
  EXPECT_EQ(autumn.name, "2026-10-25");
  EXPECT_EQ(autumn.end - autumn.start, 25 * kHour);
}

TEST(Day, StartsOnceWhereMidnightComesTwiceOrIsLeftOut) {
  // Havana goes from 1:00 back to midnight on 2026-11-01, and from midnight to 1:00 on 2026-03-08.
  constexpr int64_t kTwice = 1'793'505'600'000'000'000;  // 2026-11-01, 4:00 in UTC
  EXPECT_EQ(DayAt("America/Havana", kTwice + kHour).start, kTwice);
  EXPECT_EQ(DayAt("America/Havana", kTwice - 1).end, kTwice);
  EXPECT_EQ(DayAt("America/Havana", kTwice).end, kTwice + 25 * kHour);
  constexpr int64_t kLeftOut = 1'772'946'000'000'000'000;  // 2026-03-08, 5:00 in UTC
  EXPECT_EQ(DayAt("America/Havana", kLeftOut).start, kLeftOut);
  EXPECT_EQ(DayAt("America/Havana", kLeftOut - 1).end, kLeftOut);
}

TEST(Day, AnUnknownZoneIsToldApart) {
  EXPECT_TRUE(CheckZone("America/New_York"));
  const Status unknown = CheckZone("Europe/Nowhere");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().message,
            "a time zone of the IANA's names is expected, such as Asia/Shanghai, found "
            "\"Europe/Nowhere\"");
  EXPECT_FALSE(CheckZone("../../etc/passwd"));
  EXPECT_FALSE(CheckZone(""));
}

}  // namespace
}  // namespace fulmen
