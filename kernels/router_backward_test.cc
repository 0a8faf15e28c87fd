#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/moe.h"
#include "kernels/testing/kernels.h"
#include "kernels/testing/training_kernels.h"

namespace fulmen {
namespace {

using testing::CpuTrainingKernelsOfAllTargets;
using testing::NearRelativeToLargest;
using testing::RandomNormal;
using testing::SameBits;
using testing::SumErrorBound;
using testing::TestContext;
using testing::TestMatrix;

struct Case {
  int64_t tokens, experts, k;

  std::string Name() const { return fmt::format("T {} experts {} k {}", tokens, experts, k); }
};
constexpr std::array<Case, 6> kCases = {
    {{0, 4, 2}, {1, 1, 1}, {7, 32, 2}, {200, 4, 2}, {130, 32, 32}, {300, 100, 8}}};

// Logits lie in [-kSpread, kSpread].
constexpr double kSpread = 9;

// Logits, and the experts and weights chosen for them.
struct Routed {
  explicit Routed(const Case& c)
      : logits(RandomNormal(c.tokens * c.experts, 1, 2.0F)),
        experts(static_cast<size_t>(c.tokens * c.k)),
        weights(static_cast<size_t>(c.tokens * c.k)) {
    for (float& logit : logits) logit = std::clamp<float>(logit, -kSpread, kSpread);
    TestContext test;
    RefKernels().top_k_router(test.context, {logits.data(), c.tokens, c.experts},
                              {experts.data(), c.tokens, c.k}, {weights.data(), c.tokens, c.k});
  }

  std::vector<float> logits;
  std::vector<int32_t> experts;
  std::vector<float> weights;
};

double Largest(const std::vector<float>& values) {
  double largest = 0;
  for (const float value : values) largest = std::max(largest, std::abs(double{value}));
  return largest;
}

// A probability errs, relative to itself, by the rounding of its exponent (2 kSpread 2^-24 at
// most), that of the sum, and a few more; the log of the sum by the same, absolutely.
double SoftmaxError(const Case& c) {
  return SumErrorBound(c.experts + static_cast<int64_t>(2 * kSpread) + 6);
}

TEST(TopKRouterBackward, MatchesReferenceWithAnyThreads) {
  for (const Case& c : kCases) {
    const Routed routed(c);
    const std::vector<float> gradients = RandomNormal(c.tokens * c.k, 2);
    const auto run = [&](const TrainingKernels& kernels, int threads) {
      TestContext test(threads);
      TestMatrix weights(c.tokens, c.k, 1, routed.weights);
      TestMatrix dweights(c.tokens, c.k, 2, gradients);
      TestMatrix dlogits(c.tokens, c.experts, 3);
      kernels.top_k_router_backward(test.context, {routed.experts.data(), c.tokens, c.k},
                                    weights.view(), dweights.view(), dlogits.view());
      return dlogits.Values();
    };
    const std::vector<float> expected = run(RefTrainingKernels(), 1);
    // The weights of a token sum to 1, so neither the shared sum nor a term exceeds the largest
    // gradient.
    const double error = 2 * Largest(gradients) * SumErrorBound(c.k + 3);
    for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
      SCOPED_TRACE(target + " " + c.Name());
      const std::vector<float> one = run(kernels, 1);
      if (c.k == 1) {
        // One weight is 1 whatever the logits.
        EXPECT_EQ(one, std::vector<float>(one.size(), 0.0F));
      } else {
        EXPECT_TRUE(
            NearRelativeToLargest(one, expected, expected.empty() ? 0 : error / Largest(expected)));
      }
      for (const int threads : {2, 4}) EXPECT_TRUE(SameBits(run(kernels, threads), one));
    }
  }
}

struct Statistics {
  std::vector<double> counts;
  std::vector<double> probabilities;
  double squared_log_sums;

  bool operator==(const Statistics&) const = default;
};

TEST(RouterStatistics, MatchesReferenceWithAnyThreads) {
  for (const Case& c : kCases) {
    const Routed routed(c);
    const auto run = [&](const TrainingKernels& kernels, int threads) {
      TestContext test(threads);
      TestMatrix logits(c.tokens, c.experts, 3, routed.logits);
      // Added to what is there.
      Statistics sums = {std::vector<double>(static_cast<size_t>(c.k * c.experts), 2.0),
                         std::vector<double>(static_cast<size_t>(c.experts), 0.5), 0.25};
      RouterStatistics statistics = {sums.counts, sums.probabilities, sums.squared_log_sums};
      kernels.router_statistics(test.context, logits.view(), {routed.experts.data(), c.tokens, c.k},
                                statistics);
      sums.squared_log_sums = statistics.squared_log_sums;
      return sums;
    };
    const Statistics expected = run(RefTrainingKernels(), 1);
    // Of |log_sum|, which is below kSpread + log(experts).
    const double log_sum = kSpread + std::log(static_cast<double>(c.experts));
    const double squared_error = 2 * log_sum * SoftmaxError(c) * static_cast<double>(c.tokens);
    for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
      SCOPED_TRACE(target + " " + c.Name());
      const Statistics one = run(kernels, 1);
      EXPECT_EQ(one.counts, expected.counts);
      for (size_t e = 0; e < one.probabilities.size(); ++e) {
        EXPECT_NEAR(one.probabilities[e], expected.probabilities[e],
                    SoftmaxError(c) * expected.probabilities[e]);
      }
      EXPECT_NEAR(one.squared_log_sums, expected.squared_log_sums, squared_error);
      for (const int threads : {2, 4}) EXPECT_EQ(run(kernels, threads), one);
    }
  }
}

TEST(RouterLossBackward, MatchesReferenceWithAnyThreads) {
  constexpr float kZ = 0.3F;
  for (const Case& c : kCases) {
    const Routed routed(c);
    const std::vector<float> coefficients = RandomNormal(c.experts, 2);
    const std::vector<float> before = RandomNormal(c.tokens * c.experts, 3, 0.1F);
    const auto run = [&](const TrainingKernels& kernels, int threads) {
      TestContext test(threads);
      TestMatrix logits(c.tokens, c.experts, 3, routed.logits);
      TestMatrix dlogits(c.tokens, c.experts, 2, before);
      kernels.router_loss_backward(test.context, logits.view(), coefficients, kZ, dlogits.view());
      return dlogits.Values();
    };
    const std::vector<float> expected = run(RefTrainingKernels(), 1);
    // Every gradient is p (coefficient - mean + 2 z log_sum), the mean as much off as its terms.
    const double log_sum = kSpread + std::log(static_cast<double>(c.experts));
    const double factor = 2 * Largest(coefficients) + 2 * double{kZ} * log_sum;
    const double error = factor * (2 * SoftmaxError(c) + SumErrorBound(c.experts + 4)) +
                         Largest(before) * SumErrorBound(1);
    for (const auto& [target, kernels] : CpuTrainingKernelsOfAllTargets()) {
      SCOPED_TRACE(target + " " + c.Name());
      const std::vector<float> one = run(kernels, 1);
      EXPECT_TRUE(
          NearRelativeToLargest(one, expected, expected.empty() ? 0 : error / Largest(expected)));
      for (const int threads : {2, 4}) EXPECT_TRUE(SameBits(run(kernels, threads), one));
    }
  }
}

}  // namespace
}  // namespace fulmen
