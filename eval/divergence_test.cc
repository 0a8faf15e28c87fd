#include "eval/divergence.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <vector>

#include "base/thread_pool.h"
#include "base/workspace.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

TEST(KlDivergence, IsThatOfKnownDistributions) {
  const std::vector<float> p = {std::log(0.5F), std::log(0.25F), std::log(0.25F)};
  const std::vector<float> q = {std::log(0.25F) + 7, std::log(0.25F) + 7, std::log(0.5F) + 7};
  EXPECT_NEAR(KlDivergence(p, q), 0.25 * std::log(2.0), 1e-6);
  EXPECT_NEAR(KlDivergence(q, q), 0, 1e-12);
  const std::vector<float> even = {0, 0, 0};
  EXPECT_NEAR(KlDivergence(p, even), std::log(3.0) - 1.5 * std::log(2.0), 1e-6);
}

class MeasureDivergenceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int32_t i = 0; i < 90; ++i) ids_.push_back(i * i % 500);
  }

  Model model_ = LoadModel(testing::GoldenFolder("text/hybrid-bf16")).value();
  ThreadPool pool_{1};
  Workspace scratch_;
  KernelContext context_{pool_, scratch_};
  Compute compute_{RefKernels(), context_};
  std::vector<int32_t> ids_;
  WindowedText text_{.ids = ids_, .window = 40, .progress = [](int64_t) {}};
};

TEST_F(MeasureDivergenceTest, IsNothingFromItself) {
  text_.ids = ids_;
  const Divergence found = MeasureDivergence({model_}, {model_}, compute_, text_).value();
  EXPECT_EQ(found.model.tokens, 90);
  EXPECT_EQ(found.model.scored, 87);  // all but the first of each window
  EXPECT_EQ(found.largest, 0);
  EXPECT_EQ(found.same_first, 1);
  EXPECT_EQ(found.model.perplexity, found.reference_perplexity);
  EXPECT_EQ(found.model.perplexity, MeasurePerplexity({model_}, compute_, text_)->perplexity);
}

// A head whose rows are those of others expects other tokens.
TEST_F(MeasureDivergenceTest, GrowsWithTheDifference) {
  text_.ids = ids_;
  Model other = LoadModel(testing::GoldenFolder("text/hybrid-bf16")).value();
  std::vector<float> head = Dequantize(other.weights.head);
  const auto measure = [&](float factor) {
    for (float& weight : head) weight *= factor;
    other.weights.head =
        WeightMatrix(head.data(), DType::kF32, model_.config.vocab_size, model_.config.hidden_size);
    return MeasureDivergence({other}, {model_}, compute_, text_).value();
  };
  const Divergence near = measure(1.01F);
  const Divergence far = measure(1.2F);
  EXPECT_GT(near.mean, 0);
  EXPECT_GT(far.mean, 10 * near.mean);
  EXPECT_EQ(far.same_first, 1);
  for (const Divergence& d : {near, far}) {
    EXPECT_LE(d.median, d.percentile_99);
    EXPECT_LE(d.mean, d.percentile_99);
    EXPECT_LE(d.percentile_99, d.largest);
    EXPECT_NE(d.model.perplexity, d.reference_perplexity);
  }
  EXPECT_LT(measure(-1.0F).same_first, 0.1);
}

TEST_F(MeasureDivergenceTest, StopsWhenAsked) {
  text_.ids = ids_;
  std::atomic<bool> cancel = true;
  text_.cancel = &cancel;
  const Result<Divergence> found = MeasureDivergence({model_}, {model_}, compute_, text_);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace fulmen
