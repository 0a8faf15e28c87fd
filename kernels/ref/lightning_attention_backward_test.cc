#include <gtest/gtest.h>

#include <array>
#include <cmath>

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
  std::vector<int64_t> starts;
  int64_t dim;
  std::vector<float> decay;

  int64_t tokens() const { return starts.back(); }
  int64_t width() const { return static_cast<int64_t>(decay.size()) * dim; }
};

std::vector<Case> Cases() {
  return {{{0, 1}, 3, {0.5F}},
          {{0, 9}, 4, {0.0F, 0.7F}},           // one document, one head that forgets nothing
          {{0, 1, 2, 7, 8}, 5, {0.3F, 4.0F}},  // documents of one token first, between and last
          {{0, 4, 4, 11}, 1, {0.1F, 0.2F, 0.9F}}};  // an empty one
}

// Without states, q, k and v activated: o_t = sum over s <= t of the same document, exp(-decay (t -
// s)) (q_t . k_s) v_s.
std::vector<double> Forward(const Case& c, const std::vector<double>& qkv) {
  std::vector<double> out(static_cast<size_t>(c.tokens() * c.width()));
  for (size_t document = 0; document + 1 < c.starts.size(); ++document) {
    for (int64_t h = 0; h < c.width() / c.dim; ++h) {
      const auto at = [&](int64_t t, int64_t part, int64_t d) {
        const double x = qkv[static_cast<size_t>(t * 3 * c.width() + (h * 3 + part) * c.dim + d)];
        return x / (1 + std::exp(-x));
      };
      for (int64_t t = c.starts[document]; t < c.starts[document + 1]; ++t) {
        for (int64_t s = c.starts[document]; s <= t; ++s) {
          double weight = 0;
          for (int64_t d = 0; d < c.dim; ++d) weight += at(t, 0, d) * at(s, 1, d);
          weight *= std::exp(-double{c.decay[static_cast<size_t>(h)]} * static_cast<double>(t - s));
          for (int64_t d = 0; d < c.dim; ++d) {
            out[static_cast<size_t>(t * c.width() + h * c.dim + d)] += weight * at(s, 2, d);
          }
        }
      }
    }
  }
  return out;
}

TEST(RefLightningAttentionBackward, MatchesFiniteDifferences) {
  for (const Case& c : Cases()) {
    SCOPED_TRACE(fmt::format("T {} dim {} heads {}", c.tokens(), c.dim, c.decay.size()));
    TestMatrix qkv(c.tokens(), 3 * c.width(), 2, RandomNormal(c.tokens() * 3 * c.width(), 1));
    TestMatrix dout(c.tokens(), c.width(), 3, RandomNormal(c.tokens() * c.width(), 2));
    TestMatrix out(c.tokens(), c.width(), 1);
    TestMatrix dqkv(c.tokens(), 3 * c.width(), 4);
    TestContext test;
    ref::LightningAttention(test.context, qkv.view(), c.decay, {c.starts, {}},
                            std::vector<float*>(c.starts.size() - 1), out.view());
    ref::LightningAttentionBackward(test.context, qkv.view(), c.decay, c.starts, dout.view(),
                                    dqkv.view());
    std::vector<double> qkv64 = Widened(qkv.Values());
    const std::vector<double> out64 = Forward(c, qkv64);
    EXPECT_TRUE(NearRelativeToLargest(out.Values(), std::vector<float>(out64.begin(), out64.end()),
                                      GradientTolerance(1)));
    const auto loss = [&] { return Dot(Forward(c, qkv64), dout.Values()); };
    EXPECT_TRUE(
        NearRelativeToLargest(dqkv.Values(), NumericGradient(qkv64, loss), GradientTolerance(1)));
  }
}

}  // namespace
}  // namespace fulmen
