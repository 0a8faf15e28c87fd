#include <gtest/gtest.h>

#include <cmath>

#include "kernels/ref/training_operations.h"
#include "kernels/testing/gradients.h"
#include "kernels/testing/kernels.h"

namespace fulmen {
namespace {

using testing::GradientTolerance;
using testing::NearRelativeToLargest;
using testing::RandomNormal;
using testing::TestContext;

// From the sums that Adam's moments are, not from its recurrence:
//   m_n = (1 - beta1) sum_i beta1^(n-i) g_i.
TEST(RefAdamW, MatchesTheSumsOfPastGradients) {
  constexpr size_t kCount = 37;
  constexpr int64_t kSteps = 5;
  AdamWParams params;
  params.learning_rate = 0.03F;
  params.gradient_scale = 0.25F;
  std::vector<float> weight = RandomNormal(kCount, 1);
  std::vector<double> expected(weight.begin(), weight.end());
  std::vector<float> first(kCount, 0.0F);
  std::vector<float> second(kCount, 0.0F);
  std::vector<std::vector<float>> gradients;
  TestContext test;
  const double beta1 = params.beta1;
  const double beta2 = params.beta2;
  for (int64_t step = 1; step <= kSteps; ++step) {
    params.step = step;
    gradients.push_back(RandomNormal(kCount, static_cast<uint64_t>(10 + step)));
    gradients.back()[0] = 0.0F;  // never a gradient: decay alone
    ref::AdamW(test.context, params, gradients.back(), weight, first, second);
    for (size_t i = 0; i < kCount; ++i) {
      double m = 0;
      double v = 0;
      double m_total = 0;
      double v_total = 0;
      for (int64_t past = 1; past <= step; ++past) {
        const double g = 0.25 * double{gradients[static_cast<size_t>(past - 1)][i]};
        const double m_weight = std::pow(beta1, static_cast<double>(step - past));
        const double v_weight = std::pow(beta2, static_cast<double>(step - past));
        m += m_weight * g;
        v += v_weight * g * g;
        m_total += m_weight;
        v_total += v_weight;
      }
      // The bias correction makes means of the sums.
      const double update = m / m_total / (std::sqrt(v / v_total) + double{params.epsilon});
      expected[i] -=
          double{params.learning_rate} * (update + double{params.weight_decay} * expected[i]);
    }
    // Each step rounds the weight and both moments, which move the update by less than itself.
    EXPECT_TRUE(NearRelativeToLargest(weight, std::vector<float>(expected.begin(), expected.end()),
                                      GradientTolerance(3.0 * static_cast<double>(step))))
        << "step " << step;
  }
}

TEST(RefSquaredNorm, SumsInDouble) {
  TestContext test;
  const std::vector<float> values = {3e20F, 4e20F, 0.0F};
  const double expected =
      double{values[0]} * double{values[0]} + double{values[1]} * double{values[1]};
  EXPECT_EQ(ref::SquaredNorm(test.context, values), expected);
  EXPECT_EQ(ref::SquaredNorm(test.context, {}), 0.0);
}

}  // namespace
}  // namespace fulmen
