#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/ref/operations.h"
#include "kernels/ref/training_operations.h"
#include "kernels/testing/gradients.h"
#include "kernels/testing/kernels.h"

namespace fulmen {
namespace {

using testing::Dot;
using testing::GradientTolerance;
using testing::NearRelativeToLargest;
using testing::NumericGradient;
using testing::RandomNormal;
using testing::TestContext;
using testing::TestMatrix;
using testing::Widened;

struct Case {
  int64_t tokens, experts, k;
  bool ties;
};
constexpr std::array<Case, 6> kCases = {{{1, 1, 1, false},
                                         {1, 5, 2, false},
                                         {7, 5, 1, false},
                                         {7, 5, 2, false},
                                         {6, 4, 4, false},
                                         {9, 6, 3, true}}};

std::string Name(const Case& c) {
  return fmt::format("T {} experts {} k {}{}", c.tokens, c.experts, c.k, c.ties ? " ties" : "");
}

// Logits and what the forward pass chose for them.
struct Problem {
  explicit Problem(const Case& c)
      : logits(c.tokens, c.experts, 2, Logits(c)),
        choice(static_cast<size_t>(c.tokens * c.k)),
        experts(choice.data(), c.tokens, c.k),
        weights(c.tokens, c.k, 1) {
    ref::TopKRouter(test.context, logits.view(), experts, weights.view());
  }

  static std::vector<float> Logits(const Case& c) {
    std::vector<float> values = RandomNormal(c.tokens * c.experts, 1, 2);
    if (c.ties) {
      for (float& value : values) value = std::round(value);
    }
    return values;
  }

  TestContext test;
  TestMatrix logits;
  std::vector<int32_t> choice;
  MatrixView<int32_t> experts;
  TestMatrix weights;
};

double LogSum(const double* logits, int64_t count) {
  double total = 0;
  for (int64_t e = 0; e < count; ++e) total += std::exp(logits[e]);
  return std::log(total);
}

TEST(RefTopKRouterBackward, MatchesFiniteDifferences) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(Name(c));
    Problem problem(c);
    TestMatrix dweights(c.tokens, c.k, 3, RandomNormal(c.tokens * c.k, 2));
    TestMatrix dlogits(c.tokens, c.experts, 4);
    ref::TopKRouterBackward(problem.test.context, problem.experts, problem.weights.view(),
                            dweights.view(), dlogits.view());
    if (c.k == 1) {  // the weight is 1 whatever the logits
      for (const float gradient : dlogits.Values()) EXPECT_EQ(gradient, 0.0F);
      continue;
    }
    // The choice is held: at a tie it has no derivative.
    std::vector<double> logits = Widened(problem.logits.Values());
    const auto loss = [&] {
      std::vector<double> weights;
      for (int64_t t = 0; t < c.tokens; ++t) {
        std::vector<double> kept;
        for (int64_t s = 0; s < c.k; ++s) {
          kept.push_back(logits[static_cast<size_t>(t * c.experts + problem.experts.row(t)[s])]);
        }
        const double log_sum = LogSum(kept.data(), c.k);
        for (const double logit : kept) weights.push_back(std::exp(logit - log_sum));
      }
      return Dot(weights, dweights.Values());
    };
    // The weights read are rounded, and enter a difference of k + 1 products.
    EXPECT_TRUE(NearRelativeToLargest(dlogits.Values(), NumericGradient(logits, loss),
                                      GradientTolerance(1 + 2.0 * static_cast<double>(c.k))));
  }
}

TEST(RefRouterLossBackward, MatchesFiniteDifferences) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(Name(c));
    Problem problem(c);
    const std::vector<float> coefficients = RandomNormal(c.experts, 2);
    const std::vector<float> before = RandomNormal(c.tokens * c.experts, 3);
    constexpr float kZ = 0.25F;
    TestMatrix dlogits(c.tokens, c.experts, 3, before);
    ref::RouterLossBackward(problem.test.context, problem.logits.view(), coefficients, kZ,
                            dlogits.view());
    std::vector<double> logits = Widened(problem.logits.Values());
    const auto loss = [&] {
      double sum = 0;
      for (int64_t t = 0; t < c.tokens; ++t) {
        const double* row = &logits[static_cast<size_t>(t * c.experts)];
        const double log_sum = LogSum(row, c.experts);
        for (int64_t e = 0; e < c.experts; ++e) {
          sum += double{coefficients[static_cast<size_t>(e)]} * std::exp(row[e] - log_sum);
        }
        sum += double{kZ} * log_sum * log_sum;
      }
      return sum;
    };
    EXPECT_TRUE(NearRelativeToLargest(dlogits.Values(), NumericGradient(logits, loss, before),
                                      GradientTolerance(1)));
  }
}

TEST(RefRouterStatistics, AddsCountsProbabilitiesAndSquaredLogSums) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(Name(c));
    Problem problem(c);
    const auto count = static_cast<size_t>(c.experts);
    std::vector<double> counts(count * static_cast<size_t>(c.k), 100.0);
    std::vector<double> probabilities(count, 200.0);
    RouterStatistics statistics = {counts, probabilities, 300.0};
    ref::CountRouterStatistics(problem.test.context, problem.logits.view(), problem.experts,
                               statistics);

    const std::vector<double> logits = Widened(problem.logits.Values());
    std::vector<double> expected_counts(counts.size(), 100.0);
    std::vector<double> expected(count, 200.0);
    double squared = 300.0;
    for (int64_t t = 0; t < c.tokens; ++t) {
      const double* row = &logits[static_cast<size_t>(t * c.experts)];
      const double log_sum = LogSum(row, c.experts);
      squared += log_sum * log_sum;
      for (size_t e = 0; e < count; ++e) {
        expected[e] += std::exp(row[e] - log_sum);
        // The slot of an expert is the number of those before it in the order of choice.
        size_t slot = 0;
        for (size_t other = 0; other < count; ++other) {
          slot += row[other] > row[e] || (row[other] == row[e] && other < e) ? 1 : 0;
        }
        if (slot < static_cast<size_t>(c.k)) expected_counts[slot * count + e] += 1;
      }
    }
    EXPECT_EQ(counts, expected_counts);
    for (size_t e = 0; e < count; ++e) EXPECT_NEAR(probabilities[e], expected[e], 1e-11);
    EXPECT_NEAR(statistics.squared_log_sums, squared, 1e-11);
  }
}

}  // namespace
}  // namespace fulmen
