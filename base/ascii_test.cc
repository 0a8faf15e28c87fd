#include "base/ascii.h"

#include <gtest/gtest.h>

namespace fulmen {
namespace {

TEST(Ascii, LettersOfAsciiAlone) {
  EXPECT_EQ(LowerCase("[@AZ`az{\xc3\x84"), "[@az`az{\xc3\x84");
  EXPECT_TRUE(SameIgnoringCase("ETag", "etag"));
  EXPECT_FALSE(SameIgnoringCase("ETag", "eta"));
  EXPECT_FALSE(SameIgnoringCase("@", "`"));
}

TEST(Ascii, SpacesAtBothEnds) {
  EXPECT_EQ(Trimmed(" \t a b\r\n"), "a b");
  EXPECT_EQ(Trimmed(" \n"), "");
  EXPECT_EQ(Trimmed(""), "");
  EXPECT_EQ(Trimmed("a"), "a");
}

}  // namespace
}  // namespace fulmen
