#include "accounts/gcra.h"

#include <gtest/gtest.h>

namespace fulmen {
namespace {

using GcraKind = GcraAnswer::Kind;
constexpr int64_t kNanosPerSecond = 1'000'000'000;
constexpr int64_t kNow = 1'764'000'000 * kNanosPerSecond;

TEST(Gcra, RequestsAndTokensOfAMinute) {
  const GcraAnswer request = TakeFromBucket(0, kNow, 1, 6);
  EXPECT_EQ(request.arrival - kNow, 10 * kNanosPerSecond);
  EXPECT_EQ(LeftInBucket(request.arrival, kNow, 6), 5);

  const GcraAnswer first = TakeFromBucket(0, kNow, 9'000 + 256, 24'000);
  ASSERT_EQ(first.kind, GcraKind::kPassed);
  EXPECT_EQ(first.arrival - kNow, 23'140'000'000);
  EXPECT_EQ(LeftInBucket(first.arrival, kNow, 24'000), 14'744);

  const int64_t later = kNow + kNanosPerSecond;
  EXPECT_EQ(LeftInBucket(first.arrival, later, 24'000), 15'144);
  const GcraAnswer second = TakeFromBucket(first.arrival, later, 16'000 + 256, 24'000);
  ASSERT_EQ(second.kind, GcraKind::kLater);
  EXPECT_EQ(second.wait, 2'780'000'000);
  EXPECT_EQ(second.arrival, first.arrival);
  const int64_t then = later + second.wait;
  EXPECT_EQ(TakeFromBucket(first.arrival, then - 1, 16'256, 24'000).kind, GcraKind::kLater);
  EXPECT_EQ(TakeFromBucket(first.arrival, then, 16'256, 24'000).kind, GcraKind::kPassed);
}

TEST(Gcra, MoreThanTheBucketNeverPasses) {
  EXPECT_EQ(TakeFromBucket(0, kNow, 24'000, 24'000).kind, GcraKind::kPassed);
  EXPECT_EQ(TakeFromBucket(0, kNow, 24'001, 24'000).kind, GcraKind::kNever);
  EXPECT_EQ(TakeFromBucket(0, kNow, kLargestPerMinute, kLargestPerMinute).kind, GcraKind::kPassed);
}

TEST(Gcra, WhatWasNotUsedComesBack) {
  const int64_t full = TakeFromBucket(0, kNow, 16'256, 24'000).arrival;
  EXPECT_EQ(LeftInBucket(CorrectBucket(full, kNow, 16'256, 16'256, 24'000), kNow, 24'000),
            24'000 - 16'256);
  EXPECT_EQ(LeftInBucket(CorrectBucket(full, kNow, 16'256, 10'000, 24'000), kNow, 24'000), 14'000);
  EXPECT_EQ(LeftInBucket(CorrectBucket(full, kNow, 16'256, 20'000, 24'000), kNow, 24'000), 4'000);
  // A debt of 6000 and then a request of 3000 wait for as many to flow in.
  const int64_t debt = CorrectBucket(full, kNow, 16'256, 30'000, 24'000);
  EXPECT_EQ(TakeFromBucket(debt, kNow, 3'000, 24'000).wait, 9'000 * 60 * kNanosPerSecond / 24'000);
  EXPECT_EQ(CorrectBucket(0, kNow, 0, 900'000, 24'000), kNow + 60 * kNanosPerSecond);
}

}  // namespace
}  // namespace fulmen
