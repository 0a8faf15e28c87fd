#include "kernels/profile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "base/workspace.h"

namespace fulmen {
namespace {

class ProfileTest : public ::testing::Test {
 protected:
  static constexpr int64_t kWidth = 4;
  using Values = std::array<float, kWidth * kWidth>;

  static WeightMatrix Square(const Values& values) {
    return {values.data(), DType::kF32, kWidth, kWidth};
  }

  ThreadPool pool_{1};
  Workspace scratch_;
  KernelContext context_{pool_, scratch_};
  Values x_ = {1, 2, 3, 4, 5, 6, 7, 8};
  Values first_ = {1, 0, 0, 0, 0, 1};
  Values second_ = {2};
  Values y_ = {};
  Values z_ = {};
};

TEST_F(ProfileTest, ProductsAreToldApartByTheirWeights) {
  Profile profile(Compute(RefKernels(), context_),
                  {{first_.data(), "first"}, {second_.data(), "second"}});
  const Compute& compute = profile.compute();
  EXPECT_EQ(compute.training, nullptr);
  EXPECT_EQ(compute.kernels.name, RefKernels().name);
  const ConstMatrix x(x_.data(), 2, kWidth);
  const Matrix y(y_.data(), 2, kWidth);
  const Matrix z(z_.data(), 2, kWidth);
  compute.kernels.linear(compute.context, x, {{Square(first_), y}, {Square(second_), z}});
  EXPECT_EQ(y_, (Values{1, 2, 0, 0, 5, 6}));
  compute.kernels.linear(compute.context, x, {{Square(first_), y}});
  compute.kernels.linear(compute.context, x, {{Square(first_), y}});
  compute.kernels.linear(compute.context, x, {{Square(x_), y}});

  std::vector<OperationCost> costs = profile.Costs();
  EXPECT_TRUE(std::ranges::is_sorted(costs, std::ranges::greater(), &OperationCost::seconds));
  std::ranges::sort(costs, {}, &OperationCost::name);
  ASSERT_EQ(costs.size(), 3U);
  EXPECT_EQ(costs[0].name, "linear");  // of nameless weights
  EXPECT_EQ(costs[1].name, "linear (first)");
  EXPECT_EQ(costs[1].calls, 2);
  EXPECT_GT(costs[1].seconds, 0.0);
  EXPECT_EQ(costs[1].flops, 2 * 2.0 * 2 * kWidth * kWidth);
  EXPECT_EQ(costs[1].bytes, 2.0 * sizeof(Values));
  EXPECT_EQ(costs[2].name, "linear (first, second)");
  EXPECT_EQ(costs[2].calls, 1);
  EXPECT_EQ(costs[2].bytes, 2.0 * sizeof(Values));
  profile.Clear();
  EXPECT_TRUE(profile.Costs().empty());
}

// A dropped choice computes nothing, and an expert is read once however many tokens chose it.
TEST_F(ProfileTest, CountsTheExpertsThatWereChosen) {
  Profile profile(Compute(RefKernels(), context_), {});
  const Compute& compute = profile.compute();
  const std::vector<ExpertWeights> experts(3, {Square(first_), Square(first_), Square(second_)});
  const std::array<int32_t, 4> chosen = {0, 2, 0, -1};
  const std::array<float, 4> weights = {1, 1, 1, 1};
  compute.kernels.moe(compute.context, {x_.data(), 2, kWidth}, experts, {chosen.data(), 2, 2},
                      {weights.data(), 2, 2}, {}, {y_.data(), 2, kWidth});
  ASSERT_EQ(profile.Costs().size(), 1U);
  const OperationCost cost = profile.Costs().front();
  EXPECT_EQ(cost.name, "moe");
  EXPECT_EQ(cost.flops, 3 * 3 * 2.0 * kWidth * kWidth);
  EXPECT_EQ(cost.bytes, 2 * 3.0 * sizeof(Values));
}

TEST_F(ProfileTest, TimesTheOperationsOfTraining) {
  Profile profile(Compute(RefTrainingKernels(), context_), {{y_.data(), "first"}});
  const Compute& compute = profile.compute();
  ASSERT_NE(compute.training, nullptr);
  EXPECT_EQ(&compute.kernels, &compute.training->forward);
  const ConstMatrix x(x_.data(), 2, kWidth);
  compute.training->linear_backward_weight(compute.context, x, x, {y_.data(), kWidth, kWidth});
  EXPECT_EQ(y_[0], 1 * 1 + 5 * 5);
  ASSERT_EQ(profile.Costs().size(), 1U);
  EXPECT_EQ(profile.Costs().front().name, "linear_backward_weight (first)");
  EXPECT_EQ(profile.Costs().front().flops, 2.0 * 2 * kWidth * kWidth);
}

}  // namespace
}  // namespace fulmen
