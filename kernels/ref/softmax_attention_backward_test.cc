#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/testing/gradients.h"
#include "kernels/testing/kernels.h"
#include "kernels/testing/packed_attention.h"

namespace fulmen {
namespace {

using testing::AttendPacked;
using testing::BackwardOf;
using testing::Dot;
using testing::GradientTolerance;
using testing::kMasks;
using testing::Mask;
using testing::MaskName;
using testing::NearRelativeToLargest;
using testing::NumericGradient;
using testing::RandomNormal;
using testing::TestContext;
using testing::TestMatrix;
using testing::Widened;

struct Case {
  std::vector<int64_t> starts;
  int64_t heads, kv_heads, dim;

  int64_t tokens() const { return starts.back(); }
  std::string Name() const {
    return fmt::format("T {} in {} documents, heads {}/{} of {}", tokens(), starts.size() - 1,
                       heads, kv_heads, dim);
  }
};

std::vector<Case> Cases() {
  return {{{0, 1}, 1, 1, 3},
          {{0, 9}, 4, 2, 5},
          {{0, 1, 2, 7, 8}, 3, 1, 4},  // documents of one token first, between and last
          {{0, 4, 4, 11}, 2, 2, 1}};   // an empty one
}

struct Inputs {
  std::vector<double> queries, keys, values;
};
struct Outputs {
  std::vector<double> out, log_sums;
};

Outputs Forward(Mask mask, const Case& c, const Inputs& in) {
  Outputs outputs;
  for (size_t document = 0; document + 1 < c.starts.size(); ++document) {
    const int64_t document_end = c.starts[document + 1];
    for (int64_t t = c.starts[document]; t < document_end; ++t) {
      const int64_t seen_end = mask == Mask::kCausal ? t + 1 : document_end;
      for (int64_t h = 0; h < c.heads; ++h) {
        const int64_t kv = h * c.kv_heads / c.heads;
        double total = 0;
        std::vector<double> sums(static_cast<size_t>(c.dim));
        for (int64_t p = c.starts[document]; p < seen_end; ++p) {
          double score = 0;
          for (int64_t d = 0; d < c.dim; ++d) {
            score += in.queries[static_cast<size_t>((t * c.heads + h) * c.dim + d)] *
                     in.keys[static_cast<size_t>((p * c.kv_heads + kv) * c.dim + d)];
          }
          const double weight = std::exp(score / std::sqrt(static_cast<double>(c.dim)));
          total += weight;
          for (int64_t d = 0; d < c.dim; ++d) {
            sums[static_cast<size_t>(d)] +=
                weight * in.values[static_cast<size_t>((p * c.kv_heads + kv) * c.dim + d)];
          }
        }
        for (const double sum : sums) outputs.out.push_back(sum / total);
        outputs.log_sums.push_back(std::log(total));
      }
    }
  }
  return outputs;
}

std::vector<float> Narrowed(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

std::vector<float> Copy(ConstMatrix matrix) {
  std::vector<float> values;
  for (int64_t t = 0; t < matrix.rows; ++t) {
    values.insert(values.end(), matrix.row(t), matrix.row(t) + matrix.cols);
  }
  return values;
}

void Check(Mask mask, const Case& c) {
  SCOPED_TRACE(MaskName(mask) + " " + c.Name());
  const int64_t width = c.heads * c.dim;
  const int64_t kv_width = c.kv_heads * c.dim;
  const int64_t count = c.tokens();
  // Of deviation 2: scores that matter.
  TestMatrix queries(count, width, 1, RandomNormal(count * width, 1, 2));
  TestMatrix kv(count, 2 * kv_width, 2, RandomNormal(count * 2 * kv_width, 2));
  const ConstMatrix keys = kv.view().Cols(0, kv_width);
  const ConstMatrix values = kv.view().Cols(kv_width, kv_width);
  TestMatrix dout(count, width, 4, RandomNormal(count * width, 4));
  TestMatrix out(count, width, 1);
  TestMatrix log_sums(count, c.heads, 2);
  TestMatrix dqueries(count, width, 3);
  TestMatrix dkeys(count, kv_width, 4);
  TestMatrix dvalues(count, kv_width, 5);
  TestContext test;
  const PackedAttention attention = {queries.view(), keys, values, c.dim, c.starts};
  AttendPacked(mask, RefKernels(), test.context, attention, out.view(), log_sums.view());
  BackwardOf(mask, RefTrainingKernels())(test.context, attention, out.view(), log_sums.view(),
                                         dout.view(), dqueries.view(), dkeys.view(),
                                         dvalues.view());

  Inputs in = {Widened(queries.Values()), Widened(Copy(keys)), Widened(Copy(values))};
  const Outputs outputs = Forward(mask, c, in);
  EXPECT_TRUE(NearRelativeToLargest(out.Values(), Narrowed(outputs.out), GradientTolerance(1)));
  EXPECT_TRUE(
      NearRelativeToLargest(log_sums.Values(), Narrowed(outputs.log_sums), GradientTolerance(1)));

  // Probabilities inherit the rounding of log_sums (absolute in the exponent), and their gradients
  // that of out through `dim` products; both enter differences of terms up to a few times the
  // result: 4 covers that.
  double largest = 0;
  for (const double sum : outputs.log_sums) largest = std::max(largest, std::abs(sum));
  const double tolerance = GradientTolerance(4 * (largest + static_cast<double>(c.dim)));
  const auto loss = [&] { return Dot(Forward(mask, c, in).out, dout.Values()); };
  const std::vector<float> expected_dvalues = NumericGradient(in.values, loss);
  EXPECT_TRUE(NearRelativeToLargest(dvalues.Values(), expected_dvalues, tolerance));
  if (c.tokens() == 1) {
    // A token that sees itself alone has probability 1 whatever its query and key.
    for (const std::vector<float>& zeros : {dqueries.Values(), dkeys.Values()}) {
      for (const float zero : zeros) EXPECT_EQ(zero, 0.0F);
    }
    return;
  }
  EXPECT_TRUE(
      NearRelativeToLargest(dqueries.Values(), NumericGradient(in.queries, loss), tolerance));
  EXPECT_TRUE(NearRelativeToLargest(dkeys.Values(), NumericGradient(in.keys, loss), tolerance));
}

TEST(RefSoftmaxAttentionBackward, MatchesFiniteDifferences) {
  for (const Mask mask : kMasks) {
    for (const Case& c : Cases()) Check(mask, c);
  }
}

}  // namespace
}  // namespace fulmen
