#include "kernels/kernels.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "kernels/cpu/targets.h"
#include "kernels/testing/kernels.h"

namespace fulmen {
namespace {

TEST(Kernels, UnknownTargetIsRefusedWithThoseAvailable) {
  const auto kernels = cpu::KernelsFor("AVX9");
  ASSERT_FALSE(kernels);
  EXPECT_NE(kernels.error().message.find("AVX9"), std::string::npos);
  EXPECT_NE(kernels.error().message.find(cpu::Targets().front()), std::string::npos);
}

TEST(Kernels, Selection) {
  EXPECT_EQ((*SelectKernels("ref"))->name, "ref");
  const auto best = SelectKernels("cpu");
  ASSERT_TRUE(best) << best.error().message;
  EXPECT_EQ((*best)->name.substr(0, 5), "cpu (");
  const auto unknown = SelectKernels("gpu");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("gpu"), std::string::npos);
}

// In processes of their own: the choice is made once.
using KernelsDeathTest = ::testing::Test;

[[noreturn]] void PrintKernels(const char* variable, const char* value) {
  setenv(variable, value, 1);
  const auto kernels = SelectKernels("");
  std::fputs(kernels ? (*kernels)->name.c_str() : kernels.error().message.c_str(), stderr);
  std::exit(kernels ? 0 : 1);
}

TEST_F(KernelsDeathTest, Environment) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(PrintKernels("FULMEN_KERNELS", "ref"), ::testing::ExitedWithCode(0), "^ref");
  const std::string last = cpu::Targets().back();
  EXPECT_EXIT(PrintKernels("FULMEN_CPU_TARGET", last.c_str()), ::testing::ExitedWithCode(0), last);
  EXPECT_EXIT(PrintKernels("FULMEN_CPU_TARGET", "AVX9"), ::testing::ExitedWithCode(1),
              "FULMEN_CPU_TARGET: .*must be one of .*AVX9");
}

}  // namespace
}  // namespace fulmen
