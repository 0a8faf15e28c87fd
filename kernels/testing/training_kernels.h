// What the tests of training operations share.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cpu/targets.h"

namespace fulmen::testing {

// The cpu operations of every instruction set this machine can run, with its name.
inline std::vector<std::pair<std::string, TrainingKernels>> CpuTrainingKernelsOfAllTargets(
    Precision precision = Precision::kFloat32) {
  std::vector<std::pair<std::string, TrainingKernels>> all;
  for (const std::string& target : cpu::Targets()) {
    const Result<TrainingKernels> kernels = cpu::TrainingKernelsFor(target, precision);
    EXPECT_TRUE(kernels.has_value()) << target;
    if (kernels) all.emplace_back(target, *kernels);
  }
  EXPECT_FALSE(all.empty());
  return all;
}

inline constexpr Precision kPrecisions[] = {Precision::kFloat32, Precision::kBFloat16};

// What two ways to multiply operands rounded to BF16 may differ by in norm, where `count` operands
// were computed in float32 and may be off by `error`, relatively: those so close to a tie of BF16,
// 2^-8 apart, may be rounded the other way, which moves them by 2^-8. A few may be by chance.
inline double RoundingFlips(double error, int64_t count) {
  return 0x1p-8 * std::sqrt(error * 0x1p8 + 4 / static_cast<double>(count));
}

inline std::string PrecisionName(Precision precision) {
  return precision == Precision::kFloat32 ? "float32" : "bfloat16";
}

}  // namespace fulmen::testing
