#include "engine/sampler.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

namespace fulmen {
namespace {

constexpr int64_t kDraws = 200'000;

std::vector<float> Logits(int64_t count, uint64_t seed) {
  RandomStream random(seed);
  std::vector<float> logits(static_cast<size_t>(count));
  for (float& logit : logits) logit = static_cast<float>(8 * random.Uniform() - 4);
  return logits;
}

Sampler MakeSampler(const SamplingParams& params, int64_t vocab,
                    const std::vector<int32_t>& forbidden = {}) {
  Result<Sampler> sampler = Sampler::Create(params, vocab, forbidden);
  EXPECT_TRUE(sampler.has_value()) << (sampler ? "" : sampler.error().message);
  return *std::move(sampler);
}

// The steps of sampler.h word by word, over the whole vocabulary sorted: the probability of each
// token, given how often each was generated (-1: never seen at all).
std::vector<double> ExactProbabilities(const std::vector<float>& logits,
                                       const SamplingParams& params,
                                       const std::vector<int32_t>& forbidden,
                                       const std::vector<int>& counts) {
  const size_t n = logits.size();
  std::vector<double> adjusted(n);
  for (size_t i = 0; i < n; ++i) {
    double logit = logits[i];
    const auto bias = params.logit_bias.find(static_cast<int32_t>(i));
    if (bias != params.logit_bias.end()) logit += bias->second;
    if (counts[i] >= 0) {
      logit = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    }
    if (counts[i] > 0) {
      logit -= counts[i] * params.frequency_penalty + params.presence_penalty;
    }
    adjusted[i] = logit;
  }
  for (const int32_t id : forbidden) {
    adjusted[static_cast<size_t>(id)] = -std::numeric_limits<double>::infinity();
  }
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return adjusted[a] > adjusted[b]; });

  std::vector<double> probability(n, 0);
  if (params.temperature == 0) {
    probability[order[0]] = 1;
    return probability;
  }
  size_t kept = params.top_k > 0 ? std::min(n, static_cast<size_t>(params.top_k)) : n;
  const auto weight = [&](size_t rank) {
    return std::exp((adjusted[order[rank]] - adjusted[order[0]]) / params.temperature);
  };
  double total = 0;
  for (size_t rank = 0; rank < kept; ++rank) total += weight(rank);
  double cumulative = 0;
  for (size_t rank = 0; rank < kept; ++rank) {
    cumulative += weight(rank) / total;
    if (cumulative >= params.top_p) kept = rank + 1;
  }
  while (weight(kept - 1) < params.min_p) --kept;
  total = 0;
  for (size_t rank = 0; rank < kept; ++rank) total += weight(rank);
  for (size_t rank = 0; rank < kept; ++rank) probability[order[rank]] = weight(rank) / total;
  return probability;
}

// Bernstein: with L = ln(2 tokens / failure), a count out of kDraws strays further than
// L/3 + sqrt(L^2/9 + 2 L N p (1 - p)) from N p with probability failure / tokens at most.
::testing::AssertionResult Follows(const std::vector<int64_t>& counts,
                                   const std::vector<double>& probability) {
  constexpr double kFailure = 1e-9;
  const double l = std::log(2.0 * static_cast<double>(counts.size()) / kFailure);
  for (size_t i = 0; i < counts.size(); ++i) {
    const double p = probability[i];
    const double expected = kDraws * p;
    const double bound = l / 3 + std::sqrt(l * l / 9 + 2 * l * expected * (1 - p));
    if (p == 0 ? counts[i] != 0 : !(std::abs(static_cast<double>(counts[i]) - expected) <= bound)) {
      return ::testing::AssertionFailure()
             << "token " << i << " was drawn " << counts[i] << " times, expected " << expected
             << " within " << bound;
    }
  }
  return ::testing::AssertionSuccess();
}

// Counts of kDraws first draws. Each is the first draw of its own sequence whose history is
// `history` and which has generated `generated`, so penalties see the same counts each time.
std::vector<int64_t> FirstDraws(const std::vector<float>& logits, SamplingParams params,
                                const std::vector<int32_t>& forbidden,
                                const std::vector<int32_t>& history,
                                const std::vector<int32_t>& generated) {
  const int64_t vocab = static_cast<int64_t>(logits.size());
  std::vector<int64_t> counts(logits.size(), 0);
  std::vector<float> scratch;
  for (int64_t i = 0; i < kDraws; ++i) {
    params.seed = static_cast<uint64_t>(i);
    Sampler sampler = MakeSampler(params, vocab, forbidden);
    sampler.AddHistory(history);
    for (const int32_t id : generated) {
      // All other logits are so low that `id` is drawn whatever the parameters.
      scratch.assign(logits.size(), -1e30F);
      scratch[static_cast<size_t>(id)] = 1e30F;
      EXPECT_EQ(sampler.Sample(scratch), id);
    }
    scratch = logits;
    ++counts[static_cast<size_t>(sampler.Sample(scratch))];
  }
  return counts;
}

// Counts of kDraws draws of one sequence. Only for parameters without penalties.
std::vector<int64_t> Draws(const std::vector<float>& logits, const SamplingParams& params,
                           const std::vector<int32_t>& forbidden = {}) {
  Sampler sampler = MakeSampler(params, static_cast<int64_t>(logits.size()), forbidden);
  std::vector<int64_t> counts(logits.size(), 0);
  std::vector<float> scratch;
  for (int64_t i = 0; i < kDraws; ++i) {
    scratch = logits;
    ++counts[static_cast<size_t>(sampler.Sample(scratch))];
  }
  return counts;
}

std::vector<int> NothingSeen(const std::vector<float>& logits) {
  return std::vector<int>(logits.size(), -1);
}

SamplingParams WithTemperature(double temperature) {
  SamplingParams params;
  params.temperature = temperature;
  params.seed = 7;
  return params;
}

TEST(Sampler, TheComparisonNoticesSmallErrors) {
  const std::vector<float> logits = Logits(16, 1);
  std::vector<double> exact =
      ExactProbabilities(logits, WithTemperature(1), {}, NothingSeen(logits));
  const std::vector<int64_t> counts = Draws(logits, WithTemperature(1));
  EXPECT_TRUE(Follows(counts, exact));
  const auto largest = std::max_element(exact.begin(), exact.end());
  *largest *= 0.97;
  EXPECT_FALSE(Follows(counts, exact));
  *largest = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(Follows(counts, exact));
}

TEST(Sampler, TemperatureFollowsTheExactProbabilities) {
  for (const double temperature : {0.1, 0.5, 1.0, 2.0, 50.0}) {
    for (const int64_t vocab : {8, 32}) {
      const std::vector<float> logits = Logits(vocab, 2);
      const SamplingParams params = WithTemperature(temperature);
      EXPECT_TRUE(Follows(Draws(logits, params),
                          ExactProbabilities(logits, params, {}, NothingSeen(logits))))
          << "temperature " << temperature << ", vocabulary " << vocab;
    }
  }
}

TEST(Sampler, TopKTopPAndMinPFollowTheExactProbabilities) {
  const std::vector<float> logits = Logits(24, 3);
  for (const int64_t top_k : {0, 3, 10, 1000}) {
    for (const double top_p : {1.0, 0.95, 0.5, 0.0}) {
      for (const double min_p : {0.0, 0.05, 0.6}) {
        SamplingParams params = WithTemperature(1.3);
        params.top_k = top_k;
        params.top_p = top_p;
        params.min_p = min_p;
        EXPECT_TRUE(Follows(Draws(logits, params),
                            ExactProbabilities(logits, params, {}, NothingSeen(logits))))
            << "top_k " << top_k << ", top_p " << top_p << ", min_p " << min_p;
      }
    }
  }
}

TEST(Sampler, EqualLogitsAreKeptFromTheLowestIdUp) {
  const std::vector<float> logits(20, 0.5F);
  SamplingParams params = WithTemperature(1);
  params.top_k = 7;
  std::vector<int64_t> counts = Draws(logits, params);
  EXPECT_TRUE(Follows(counts, ExactProbabilities(logits, params, {}, NothingSeen(logits))));
  EXPECT_GT(counts[6], 0);
  EXPECT_EQ(counts[7], 0);
  params.top_k = 0;
  params.top_p = 0.51;  // 11 of 20
  counts = Draws(logits, params);
  EXPECT_GT(counts[10], 0);
  EXPECT_EQ(counts[11], 0);
}

TEST(Sampler, EverythingTogetherFollowsTheExactProbabilities) {
  const std::vector<float> logits = Logits(32, 4);
  SamplingParams params = WithTemperature(0.9);
  params.top_k = 20;
  params.top_p = 0.9;
  params.min_p = 0.02;
  params.repetition_penalty = 1.4;
  params.presence_penalty = 0.5;
  params.frequency_penalty = 0.3;
  params.logit_bias = {{3, 2.5}, {11, -100}, {17, 100}, {30, 1}};
  const std::vector<int32_t> forbidden = {17, 0};
  const std::vector<int32_t> history = {1, 2, 2, 30};
  const std::vector<int32_t> generated = {2, 5, 5, 5, 8};
  std::vector<int> counts = NothingSeen(logits);
  for (const int32_t id : history) counts[static_cast<size_t>(id)] = 0;
  for (const int32_t id : generated) {
    int& count = counts[static_cast<size_t>(id)];
    count = std::max(count, 0) + 1;
  }
  EXPECT_TRUE(Follows(FirstDraws(logits, params, forbidden, history, generated),
                      ExactProbabilities(logits, params, forbidden, counts)));
}

// Greedy decoding makes a formula visible: the first token falls to the second exactly when the
// penalty outweighs the gap.
TEST(Sampler, PenaltiesByHand) {
  const auto next = [](const SamplingParams& params, const std::vector<int32_t>& history,
                       int64_t generated_first, std::array<float, 2> last) {
    Sampler sampler = MakeSampler(params, 2);
    sampler.AddHistory(history);
    for (int64_t i = 0; i < generated_first; ++i) {
      std::array<float, 2> forced = {1e30F, -1e30F};
      EXPECT_EQ(sampler.Sample(forced), 0);
    }
    return sampler.Sample(last);
  };
  SamplingParams repetition;
  repetition.repetition_penalty = 2;  // 3 -> 1.5, and -1 -> -2, however often
  EXPECT_EQ(next(repetition, {0}, 0, {3, 1.4F}), 0);
  EXPECT_EQ(next(repetition, {0}, 0, {3, 1.6F}), 1);
  EXPECT_EQ(next(repetition, {}, 3, {3, 1.4F}), 0);
  EXPECT_EQ(next(repetition, {}, 3, {3, 1.6F}), 1);
  EXPECT_EQ(next(repetition, {0}, 0, {-1, -2.1F}), 0);
  EXPECT_EQ(next(repetition, {0}, 0, {-1, -1.9F}), 1);
  EXPECT_EQ(next(repetition, {}, 0, {3, 1.6F}), 0);
  SamplingParams presence;
  presence.presence_penalty = 0.5;  // once, and only for generated tokens
  EXPECT_EQ(next(presence, {}, 4, {1, 0.4F}), 0);
  EXPECT_EQ(next(presence, {}, 4, {1, 0.6F}), 1);
  EXPECT_EQ(next(presence, {0, 0}, 0, {1, 0.6F}), 0);
  SamplingParams frequency;
  frequency.frequency_penalty = 0.5;  // for each time
  EXPECT_EQ(next(frequency, {}, 4, {3, 0.9F}), 0);
  EXPECT_EQ(next(frequency, {}, 4, {3, 1.1F}), 1);
  EXPECT_EQ(next(frequency, {0, 0, 0, 0}, 0, {3, 1.1F}), 0);
  SamplingParams bias;
  bias.logit_bias = {{1, 2}};
  EXPECT_EQ(next(bias, {}, 0, {3, 0.9F}), 0);
  EXPECT_EQ(next(bias, {}, 0, {3, 1.1F}), 1);
  bias.repetition_penalty = 3;  // bias first: (1.1 + 2) / 3
  EXPECT_EQ(next(bias, {1}, 0, {1, 1.1F}), 1);
  EXPECT_EQ(next(bias, {1}, 0, {1.1F, 1.1F}), 0);
}

TEST(Sampler, GreedyTakesTheLowestOfEqualIds) {
  Sampler sampler = MakeSampler({}, 4);
  std::array<float, 4> logits = {-1, 2, 2, 2};
  EXPECT_EQ(sampler.Sample(logits), 1);
}

TEST(Sampler, ForbiddenIdsAreNeverDrawn) {
  const std::vector<float> logits = {100, 1, 50, 0.5F, 100, 1};
  const std::vector<int32_t> forbidden = {0, 2, 4};
  SamplingParams params = WithTemperature(1);
  params.logit_bias = {{2, 100}};
  EXPECT_TRUE(Follows(Draws(logits, params, forbidden),
                      ExactProbabilities(logits, params, forbidden, NothingSeen(logits))));
  params.temperature = 0;
  EXPECT_EQ(Draws(logits, params, forbidden)[1], kDraws);
  EXPECT_FALSE(Sampler::Create(params, 6, std::vector<int32_t>{0, 1, 2, 3, 4, 5}).has_value());
}

TEST(Sampler, SeedsRepeatAndDiffer) {
  const std::vector<float> logits = Logits(1000, 5);
  const auto tokens = [&logits](uint64_t seed) {
    SamplingParams params = WithTemperature(1);
    params.top_p = 0.9;
    params.seed = seed;
    Sampler sampler = MakeSampler(params, 1000);
    std::vector<int32_t> ids;
    for (int i = 0; i < 50; ++i) {
      std::vector<float> scratch = logits;
      ids.push_back(sampler.Sample(scratch));
    }
    return ids;
  };
  EXPECT_EQ(tokens(1), tokens(1));
  EXPECT_NE(tokens(1), tokens(2));
}

// Large enough that ranking happens in several parts, and with steep and flat distributions.
TEST(Sampler, LargeVocabulariesKeepTheRightTokens) {
  constexpr int64_t kVocab = 20'000;
  for (const float steepness : {0.0F, 0.01F, 0.3F, 4.0F}) {
    for (const double top_p : {0.2, 0.9, 0.999}) {
      std::vector<float> logits = Logits(kVocab, 6);
      for (float& logit : logits) logit *= steepness;
      SamplingParams params = WithTemperature(1);
      params.top_p = top_p;
      const std::vector<double> exact = ExactProbabilities(logits, params, {}, NothingSeen(logits));
      Sampler sampler = MakeSampler(params, kVocab);
      for (int i = 0; i < 50; ++i) {
        std::vector<float> scratch = logits;
        EXPECT_GT(exact[static_cast<size_t>(sampler.Sample(scratch))], 0);
      }
    }
  }
}

TEST(Sampler, ExtremeLogitsStayFinite) {
  constexpr float kHuge = std::numeric_limits<float>::max();
  SamplingParams params = WithTemperature(1e-300);
  params.repetition_penalty = 1e-300;
  params.frequency_penalty = 2;
  params.top_p = 0.5;
  Sampler sampler = MakeSampler(params, 3);
  sampler.AddHistory(std::vector<int32_t>{0, 1});
  std::array<float, 3> logits = {kHuge, -kHuge, kHuge};
  EXPECT_EQ(sampler.Sample(logits), 0);
}

TEST(SamplingParams, BadValuesAreNamed) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto message = [](auto change) {
    SamplingParams params;
    change(params);
    const Status status = params.Validate(10);
    return status ? std::string() : status.error().message;
  };
  EXPECT_EQ(message([](SamplingParams&) {}), "");
  EXPECT_EQ(message([](SamplingParams& p) { p.top_p = 1.5; }),
            "top_p must be between 0 and 1, not 1.5");
  EXPECT_NE(message([](SamplingParams& p) { p.temperature = -1; }), "");
  EXPECT_NE(message([nan](SamplingParams& p) { p.temperature = nan; }), "");
  EXPECT_NE(message([](SamplingParams& p) { p.top_k = -1; }), "");
  EXPECT_NE(message([nan](SamplingParams& p) { p.top_p = nan; }), "");
  EXPECT_NE(message([](SamplingParams& p) { p.min_p = -0.1; }), "");
  EXPECT_NE(message([](SamplingParams& p) { p.repetition_penalty = 0; }), "");
  EXPECT_NE(message([](SamplingParams& p) { p.presence_penalty = 2.1; }), "");
  EXPECT_NE(message([](SamplingParams& p) { p.frequency_penalty = -2.1; }), "");
  EXPECT_NE(message([](SamplingParams& p) { p.logit_bias[10] = 1; }), "");
  EXPECT_NE(message([](SamplingParams& p) { p.logit_bias[9] = 101; }), "");
}

TEST(Sampler, AMaskLeavesTheOthersOut) {
  constexpr int64_t kVocab = 150;
  std::vector<uint64_t> mask(3, 0);
  for (const int32_t id : {3, 64, 149}) mask[static_cast<size_t>(id / 64)] |= 1ULL << (id % 64);
  const std::vector<float> logits = Logits(kVocab, 5);
  for (const double temperature : {0.0, 2.0}) {
    SamplingParams params;
    params.temperature = temperature;
    params.logit_bias = {{7, 100}, {64, -100}};
    params.repetition_penalty = 1.5;
    Sampler sampler = MakeSampler(params, kVocab, {149});
    for (int i = 0; i < 100; ++i) {
      std::vector<float> copy = logits;
      EXPECT_EQ(sampler.Sample(copy, mask), 3);
      sampler.Remember(3);
    }
    // One word that is all ones leaves its ids as they are.
    mask[0] = ~0ULL;
    std::vector<float> copy = logits;
    EXPECT_EQ(sampler.Sample(copy, mask), 7);
    mask[0] = 1ULL << 3;
  }
}

}  // namespace
}  // namespace fulmen
