#include "base/parse_number.h"

#include <gtest/gtest.h>

#include <string>

namespace fulmen {
namespace {

template <class T>
std::string ErrorOf(std::string_view text, Range<T> range = {}) {
  const Result<T> number = ParseNumber<T>(text, range);
  return number ? "none" : number.error().message;
}

TEST(ParseNumber, WholeNumbersAreDecimal) {
  EXPECT_EQ(*ParseNumber<int64_t>("10"), 10);
  EXPECT_EQ(*ParseNumber<int64_t>("010"), 10);
  EXPECT_EQ(*ParseNumber<int64_t>("-7"), -7);
  EXPECT_EQ(*ParseNumber<int32_t>("2147483647"), 2147483647);
  EXPECT_EQ(*ParseNumber<uint64_t>("18446744073709551615"), UINT64_MAX);
}

TEST(ParseNumber, WhatIsNoWholeNumberIsRefused) {
  for (const char* text : {"", " ", "0x10", "1e3", "3.5", "+5", " 5", "5 ", "5k", "--5", "-", "1_0",
                           "1,000", "nan", "\xd9\xa3"}) {
    EXPECT_EQ(ErrorOf<int64_t>(text),
              "should be a whole number, found \"" + std::string(text) + "\"");
  }
  EXPECT_EQ(ErrorOf<uint64_t>("-1"), "should be a whole number of at least 0, found \"-1\"");
}

TEST(ParseNumber, WholeNumbersBeyondTheirTypeAreRefused) {
  EXPECT_EQ(ErrorOf<uint64_t>("18446744073709551616"),
            "should be a whole number of at least 0, found \"18446744073709551616\", beyond 0 to "
            "18446744073709551615");
  EXPECT_NE(ErrorOf<int32_t>("2147483648"), "none");
  EXPECT_NE(ErrorOf<int32_t>("-2147483649"), "none");
  EXPECT_NE(ErrorOf<int64_t>("9223372036854775808"), "none");
  EXPECT_LT(ErrorOf<int64_t>(std::string(100'000, '9')).size(), 200U);
}

TEST(ParseNumber, RangesHaveBothTheirEnds) {
  EXPECT_EQ(*ParseNumber<int64_t>("1", {1, 1024}), 1);
  EXPECT_EQ(*ParseNumber<int64_t>("1024", {1, 1024}), 1024);
  EXPECT_EQ(ErrorOf<int64_t>("0", {1, 1024}),
            "should be a whole number from 1 to 1024, found \"0\"");
  EXPECT_EQ(ErrorOf<int64_t>("-3", {.low = 1}),
            "should be a whole number of at least 1, found \"-3\"");
  EXPECT_EQ(ErrorOf<double>("1.5", {0, 1}), "should be a number from 0 to 1, found \"1.5\"");
}

TEST(ParseNumber, OtherNumbersMayHaveAPointAndAnExponent) {
  EXPECT_EQ(*ParseNumber<double>("0.5"), 0.5);
  EXPECT_EQ(*ParseNumber<double>("3e-4"), 3e-4);
  EXPECT_EQ(*ParseNumber<double>("-2"), -2.0);
  EXPECT_EQ(*ParseNumber<double>("007.5"), 7.5);
  for (const char* text :
       {"", "nan", "inf", "-inf", "infinity", "1e999", "0x1p3", "1,5", "1 ", "+1", "1e", "."}) {
    EXPECT_NE(ErrorOf<double>(text), "none") << text;
  }
}

}  // namespace
}  // namespace fulmen
