// What the tests of attention in training share.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "kernels/cpu/register_training.h"
#include "kernels/cpu/targets.h"

namespace fulmen::testing {

// The cpu operations of every instruction set this machine can run, with its name.
inline std::vector<std::pair<std::string, TrainingKernels>> CpuTrainingKernelsOfAllTargets() {
  std::vector<std::pair<std::string, TrainingKernels>> all;
  for (const std::string& target : cpu::Targets()) {
    const Result<TrainingKernels> kernels = cpu::TrainingKernelsFor(target);
    EXPECT_TRUE(kernels.has_value()) << target;
    if (kernels) all.emplace_back(target, *kernels);
  }
  EXPECT_FALSE(all.empty());
  return all;
}

// Borders of documents of the given lengths.
inline std::vector<int64_t> Borders(const std::vector<int64_t>& lengths) {
  std::vector<int64_t> starts = {0};
  for (const int64_t length : lengths) starts.push_back(starts.back() + length);
  return starts;
}

}  // namespace fulmen::testing
