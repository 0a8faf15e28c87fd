#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "kernels/moe.h"
#include "kernels/testing/kernels.h"

namespace fulmen {
namespace {

using testing::CpuKernelsOfAllTargets;
using testing::NearRelativeToLargest;
using testing::RandomNormal;
using testing::TestContext;
using testing::TestMatrix;

std::vector<Kernels> All() {
  std::vector<Kernels> all = CpuKernelsOfAllTargets();
  all.push_back(RefKernels());
  return all;
}

TEST(Router, KnownValuesAndTies) {
  for (const Kernels& kernels : All()) {
    TestContext test;
    // Equal logits fall to the lower index; e^1 / (e^1 + e^1 + e^0) = 0.42231882.
    TestMatrix logits(1, 5, 0, {0.0F, 1.0F, -7.0F, 1.0F, 0.0F});
    std::vector<int32_t> experts(3, -1);
    TestMatrix weights(1, 3);
    kernels.top_k_router(test.context, logits.view(), {experts.data(), 1, 3}, weights.view());
    EXPECT_EQ(experts, (std::vector<int32_t>{1, 3, 0})) << kernels.name;
    EXPECT_TRUE(NearRelativeToLargest(
        weights.Values(), std::vector<float>{0.42231882F, 0.42231882F, 0.15536241F}, 3e-7))
        << kernels.name;
  }
}

TEST(Router, MatchesReference) {
  struct Case {
    int64_t tokens, experts, k;
  };
  for (const Case& c :
       {Case{1, 1, 1}, Case{0, 4, 2}, Case{7, 32, 2}, Case{200, 32, 32}, Case{130, 300, 8}}) {
    std::vector<float> values = RandomNormal(c.tokens * c.experts, 1, 3.0F);
    // Coarse values make ties common.
    for (float& value : values) value = std::round(value * 4.0F) / 4.0F;
    const size_t count = static_cast<size_t>(c.tokens * c.k);
    TestContext one;
    TestMatrix logits(c.tokens, c.experts, 3, values);
    std::vector<int32_t> expected(count);
    TestMatrix expected_weights(c.tokens, c.k);
    RefKernels().top_k_router(one.context, logits.view(), {expected.data(), c.tokens, c.k},
                              expected_weights.view());
    for (const Kernels& kernels : CpuKernelsOfAllTargets()) {
      TestContext test(3);
      std::vector<int32_t> experts(count, -1);
      TestMatrix weights(c.tokens, c.k, 2);
      kernels.top_k_router(test.context, logits.view(), {experts.data(), c.tokens, c.k},
                           weights.view());
      EXPECT_EQ(experts, expected) << kernels.name;
      EXPECT_TRUE(NearRelativeToLargest(weights.Values(), expected_weights.Values(),
                                        testing::SumErrorBound(c.k + 4)))
          << kernels.name;
    }
  }
}

// The model reports the NaN; until then every choice must be an expert that exists.
TEST(Router, NanLogitsStillChooseDistinctExperts) {
  for (const Kernels& kernels : All()) {
    TestContext test;
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (const std::vector<float>& values :
         {std::vector<float>{nan, nan, nan, nan}, std::vector<float>{nan, 1.0F, nan, 2.0F},
          std::vector<float>{3.0F, nan, 1.0F, nan}}) {
      TestMatrix logits(1, 4, 0, values);
      std::vector<int32_t> experts(3, -1);
      TestMatrix weights(1, 3);
      kernels.top_k_router(test.context, logits.view(), {experts.data(), 1, 3}, weights.view());
      EXPECT_EQ(std::set<int32_t>(experts.begin(), experts.end()).size(), 3U) << kernels.name;
      EXPECT_TRUE(std::all_of(experts.begin(), experts.end(), [](int32_t e) {
        return e >= 0 && e < 4;
      })) << kernels.name;
    }
  }
}

}  // namespace
}  // namespace fulmen
