#include "base/status.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>

namespace fulmen {
namespace {

Result<int> Positive(int value) {
  if (value <= 0) return Fail(ErrorCode::kInvalidArgument, "expected a positive, found {}", value);
  return value;
}

Result<int> Sum(int a, int b) {
  FULMEN_ASSIGN(const int first, Positive(a));
  FULMEN_ASSIGN(const int second, Positive(b));
  return first + second;
}

Status Check(int value) {
  FULMEN_TRY(Positive(value));
  return {};
}

Result<std::unique_ptr<int>> MoveOnly() { return std::make_unique<int>(7); }

Result<int> Unwrap() {
  FULMEN_ASSIGN(const std::unique_ptr<int> value, MoveOnly());
  return *value;
}

TEST(Status, PassesValuesAndErrorsOn) {
  EXPECT_EQ(Sum(1, 2).value(), 3);
  ASSERT_FALSE(Sum(1, -2));
  EXPECT_EQ(Sum(1, -2).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(Sum(1, -2).error().message, "expected a positive, found -2");
  EXPECT_TRUE(Check(1));
  EXPECT_FALSE(Check(0));
  EXPECT_EQ(Unwrap().value(), 7);
}

TEST(Status, NamesSystemErrors) { EXPECT_EQ(ErrnoMessage(ENOENT), "No such file or directory"); }

}  // namespace
}  // namespace fulmen
