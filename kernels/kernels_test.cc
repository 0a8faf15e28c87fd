#include "kernels/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "kernels/cpu/targets.h"
#include "kernels/peak.h"
#include "kernels/self_check.h"
#include "kernels/testing.h"

namespace fulmen {
namespace {

TEST(Kernels, EveryTargetPassesItsSelfCheck) {
  for (const Kernels& kernels : testing::CpuKernelsOfAllTargets()) {
    const Status status = SelfCheck(kernels);
    EXPECT_TRUE(status) << status.error().message;
  }
}

TEST(Kernels, SelfCheckFindsAWrongAnswerAndNan) {
  Kernels wrong = RefKernels();
  wrong.name = "broken";
  wrong.linear = [](KernelContext& context, ConstMatrix x, const TensorView& weight, Matrix y) {
    RefKernels().linear(context, x, weight, y);
    y.row(3)[7] += 0.01F;
  };
  Status status = SelfCheck(wrong);
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("broken kernels expected linear"), std::string::npos)
      << status.error().message;
  wrong = RefKernels();
  wrong.silu = [](KernelContext&, ConstMatrix, Matrix out) { out.row(0)[0] = NAN; };
  EXPECT_FALSE(SelfCheck(wrong));
}

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

TEST(Peaks, ArePlausible) {
  ThreadPool pool(1);
  const Peaks peaks = MeasurePeaks(pool);
  EXPECT_GT(peaks.fma_flops, 1e8);
  EXPECT_GT(peaks.read_bandwidth, 1e8);
  EXPECT_GT(peaks.int8_dot_ops.value_or(1e9), 1e8);
  EXPECT_GT(peaks.bf16_dot_flops.value_or(1e9), 1e8);
}

}  // namespace
}  // namespace fulmen
