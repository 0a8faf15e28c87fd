#include "kernels/training.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>

#include "kernels/training_testing.h"

namespace fulmen {
namespace {

// The table is nothing but pointers to functions.
using Entries = std::array<void*, sizeof(TrainingKernels) / sizeof(void*)>;

void ExpectComplete(const TrainingKernels& kernels) {
  const Entries entries = std::bit_cast<Entries>(kernels);
  for (size_t i = 0; i < entries.size(); ++i) EXPECT_NE(entries[i], nullptr) << "entry " << i;
}

TEST(TrainingKernels, EveryTableIsComplete) {
  for (const Precision precision : testing::kPrecisions) {
    ExpectComplete(RefTrainingKernels(precision));
    for (const auto& [target, kernels] : testing::CpuTrainingKernelsOfAllTargets(precision)) {
      SCOPED_TRACE(target);
      ExpectComplete(kernels);
    }
    const Result<const TrainingKernels*> chosen = CpuTrainingKernels(precision);
    ASSERT_TRUE(chosen.has_value()) << chosen.error().message;
    ExpectComplete(**chosen);
  }
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
