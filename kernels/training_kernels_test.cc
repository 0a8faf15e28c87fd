#include "kernels/training_kernels.h"

#include <gtest/gtest.h>

#include "kernels/testing/training_kernels.h"

namespace fulmen {
namespace {

TEST(TrainingKernels, PrecisionsHaveTablesOfTheirOwn) {
  const Result<const TrainingKernels*> float32 = CpuTrainingKernels(Precision::kFloat32);
  ASSERT_TRUE(float32.has_value()) << float32.error().message;
  const Result<const TrainingKernels*> bfloat16 = CpuTrainingKernels(Precision::kBFloat16);
  ASSERT_TRUE(bfloat16.has_value()) << bfloat16.error().message;
  EXPECT_NE((*float32)->forward.linear, (*bfloat16)->forward.linear);
  EXPECT_EQ((*float32)->router_backward_input, (*bfloat16)->router_backward_input);
}

TEST(TrainingKernels, AreSelectedByName) {
  const Result<const TrainingKernels*> ref = SelectTrainingKernels("ref");
  ASSERT_TRUE(ref.has_value());
  EXPECT_EQ(*ref, &RefTrainingKernels());
  const Result<const TrainingKernels*> cpu = SelectTrainingKernels("cpu");
  ASSERT_TRUE(cpu.has_value());
  EXPECT_EQ(*cpu, *CpuTrainingKernels());
  const Result<const TrainingKernels*> unknown = SelectTrainingKernels("gpu");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code, ErrorCode::kInvalidArgument);
}

TEST(TrainingKernels, PrecisionsAreNamed) {
  for (const Precision precision : testing::kPrecisions) {
    EXPECT_EQ(PrecisionFromName(testing::PrecisionName(precision)), precision);
  }
  const Result<Precision> unknown = PrecisionFromName("float16");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().message,
            "the precision must be float32 or bfloat16, but it is \"float16\"");
}

TEST(TrainingKernels, UnknownTargetIsRefused) {
  const Result<TrainingKernels> kernels = cpu::TrainingKernelsFor("MMX");
  ASSERT_FALSE(kernels.has_value());
  EXPECT_EQ(kernels.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace fulmen
