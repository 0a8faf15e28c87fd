#include "accounts/gcra.h"

#include <gtest/gtest.h>

namespace fulmen {
namespace {

using Kind = GcraAnswer::Kind;
constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kStart = 1'764'000'000 * kSecond;

TEST(Gcra, RequestsAndTokensOfAMinute) {
  const GcraAnswer request = TakeFromBucket(0, kStart, 1, 6);
  EXPECT_EQ(request.arrival - kStart, 10 * kSecond);
  EXPECT_EQ(LeftInBucket(request.arrival, kStart, 6), 5);

  const GcraAnswer first = TakeFromBucket(0, kStart, 9'000 + 256, 24'000);
  ASSERT_EQ(first.kind, Kind::kPassed);
  EXPECT_EQ(first.arrival - kStart, 23'140'000'000);
  EXPECT_EQ(LeftInBucket(first.arrival, kStart, 24'000), 14'744);

  const int64_t later = kStart + kSecond;
  EXPECT_EQ(LeftInBucket(first.arrival, later, 24'000), 15'144);
  const GcraAnswer second = TakeFromBucket(first.arrival, later, 16'000 + 256, 24'000);
  ASSERT_EQ(second.kind, Kind::kLater);
  EXPECT_EQ(second.wait, 2'780'000'000);
  EXPECT_EQ(second.arrival, first.arrival);
  const int64_t then = later + second.wait;
  EXPECT_EQ(TakeFromBucket(first.arrival, then - 1, 16'256, 24'000).kind, Kind::kLater);
  EXPECT_EQ(TakeFromBucket(first.arrival, then, 16'256, 24'000).kind, Kind::kPassed);
}

TEST(Gcra, MoreThanTheBucketNeverPasses) {
  EXPECT_EQ(TakeFromBucket(0, kStart, 24'000, 24'000).kind, Kind::kPassed);
  EXPECT_EQ(TakeFromBucket(0, kStart, 24'001, 24'000).kind, Kind::kNever);
  EXPECT_EQ(TakeFromBucket(0, kStart, kLargestPerMinute, kLargestPerMinute).kind, Kind::kPassed);
}

TEST(Gcra, WhatWasNotUsedComesBack) {
  const int64_t full = TakeFromBucket(0, kStart, 16'256, 24'000).arrival;
  EXPECT_EQ(LeftInBucket(CorrectBucket(full, kStart, 16'256, 16'256, 24'000), kStart, 24'000),
            24'000 - 16'256);
  EXPECT_EQ(LeftInBucket(CorrectBucket(full, kStart, 16'256, 10'000, 24'000), kStart, 24'000),
            14'000);
  EXPECT_EQ(LeftInBucket(CorrectBucket(full, kStart, 16'256, 20'000, 24'000), kStart, 24'000),
            4'000);
  // A debt of 6000 and then a request of 3000 wait for as many to flow in.
  const int64_t debt = CorrectBucket(full, kStart, 16'256, 30'000, 24'000);
  EXPECT_EQ(TakeFromBucket(debt, kStart, 3'000, 24'000).wait, 9'000 * 60 * kSecond / 24'000);
  EXPECT_EQ(CorrectBucket(0, kStart, 0, 900'000, 24'000), kStart + 60 * kSecond);
}

}  // namespace
}  // namespace fulmen
