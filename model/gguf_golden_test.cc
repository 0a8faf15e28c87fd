// Whole GGUF models against the authors' code on the weights that their blocks stand for.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "formats/checkpoint.h"
#include "kernels/kernels.h"
#include "kernels/testing/kernels.h"
#include "model/forward.h"
#include "model/testing/checkpoint_values.h"
#include "model/testing/test_sequence.h"
#include "model/weights.h"
#include "tests/testing/compare.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::Values;

constexpr double kGgufAgainstReference = 1e-4;

struct GgufOutcome {
  std::vector<float> logits;
  std::vector<int32_t> experts;
};

GgufOutcome RunGguf(const Model& model, const Kernels& kernels, const std::vector<int32_t>& ids) {
  const Config& config = model.config;
  const auto tokens = static_cast<int64_t>(ids.size());
  GgufOutcome outcome;
  outcome.logits = testing::NanFilled(tokens * config.vocab_size);
  const int64_t choices = config.layer_count() * tokens * config.experts_per_token;
  outcome.experts.resize(static_cast<size_t>(choices));
  std::vector<float> hidden =
      testing::NanFilled((config.layer_count() + 1) * tokens * config.hidden_size);
  std::vector<float> weights(static_cast<size_t>(choices));
  testing::TestSequence sequence(config);
  ThreadPool pool(2);
  Workspace scratch(/*poison=*/true);
  KernelContext context{pool, scratch};
  const Status status = Forward(model, Compute(kernels, context), ids, sequence.state,
                                Matrix(outcome.logits.data(), tokens, config.vocab_size),
                                {hidden.data(), outcome.experts.data(), weights.data()});
  FULMEN_CHECK(status.has_value(), "{}", status.error().message);
  return outcome;
}

class GgufGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(GgufGolden, ReproducesTheReference) {
  if (testing::SharedRoot().empty()) GTEST_SKIP() << "the full set is not here";
  const std::string folder = testing::GoldenFolder("gguf/wide");
  const std::string type = GetParam();
  const Model model = LoadModel(fmt::format("{}/wide-{}.gguf", folder, type)).value();
  EXPECT_EQ(model.unused_ids, (std::vector<int32_t>{510, 511}));
  const Checkpoint expected = Checkpoint::Open(folder + "/expected.safetensors").value();
  const Json prompts = ReadJsonFile(folder + "/prompts.json").value();
  for (const auto& [prompt, ids] : prompts.items()) {
    SCOPED_TRACE(prompt);
    const GgufOutcome outcome = RunGguf(model, RefKernels(), ids.get<std::vector<int32_t>>());
    const std::string key = fmt::format("{}.{}", type, prompt);
    EXPECT_TRUE(testing::NearRelativeToLargest(
        outcome.logits, Values<float>(expected, key + ".logits"), kGgufAgainstReference));
    EXPECT_EQ(outcome.experts, Values<int32_t>(expected, key + ".experts"));
  }
}

// KL divergence of the distribution of `logits` from that of `exact`, in nats.
double Divergence(std::span<const float> exact, std::span<const float> logits) {
  const auto log_sum = [](std::span<const float> values) {
    const double largest = *std::max_element(values.begin(), values.end());
    double sum = 0;
    for (const float value : values) sum += std::exp(value - largest);
    return largest + std::log(sum);
  };
  const double exact_sum = log_sum(exact);
  const double sum = log_sum(logits);
  double divergence = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    const double log_p = exact[i] - exact_sum;
    divergence += std::exp(log_p) * (log_p - (logits[i] - sum));
  }
  return divergence;
}

// Kernels that round rows to 8 bits are held to what llama.cpp, which does the same, is off by, and
// to the experts that no rounding should change.
TEST_P(GgufGolden, IsAsNearAsLlamaCpp) {
  if (testing::SharedRoot().empty()) GTEST_SKIP() << "the full set is not here";
  const std::string folder = testing::GoldenFolder("gguf/wide");
  const std::string type = GetParam();
  const Model model = LoadModel(fmt::format("{}/wide-{}.gguf", folder, type)).value();
  const Checkpoint expected = Checkpoint::Open(folder + "/expected.safetensors").value();
  const Json peer =
      ReadJsonFile(folder + "/expected.json").value()["llama_cpp_against_exact"][type];
  const Json prompts = ReadJsonFile(folder + "/prompts.json").value();
  for (const Kernels& kernels : testing::CpuKernelsOfAllTargets()) {
    SCOPED_TRACE(kernels.name);
    std::vector<double> divergences;
    for (const auto& [prompt, ids] : prompts.items()) {
      const GgufOutcome outcome = RunGguf(model, kernels, ids.get<std::vector<int32_t>>());
      const std::string key = fmt::format("{}.{}", type, prompt);
      const auto logits = Values<float>(expected, key + ".logits");
      const auto vocab = static_cast<size_t>(model.config.vocab_size);
      for (size_t at = 0; at < logits.size(); at += vocab) {
        divergences.push_back(Divergence(std::span(logits).subspan(at, vocab),
                                         std::span(outcome.logits).subspan(at, vocab)));
      }
      const auto margins = Values<float>(expected, key + ".router_margin");
      auto experts = Values<int32_t>(expected, key + ".experts");
      auto found = outcome.experts;
      const auto k = static_cast<size_t>(model.config.experts_per_token);
      for (size_t i = 0; i < margins.size(); ++i) {
        if (margins[i] <= 0.1F) continue;
        const auto at = static_cast<std::ptrdiff_t>(i * k);
        const auto end = at + static_cast<std::ptrdiff_t>(k);
        std::sort(experts.begin() + at, experts.begin() + end);
        std::sort(found.begin() + at, found.begin() + end);
        EXPECT_TRUE(std::equal(experts.begin() + at, experts.begin() + end, found.begin() + at))
            << prompt << ", layer and token " << i;
      }
    }
    std::nth_element(divergences.begin(), divergences.begin() + divergences.size() / 2,
                     divergences.end());
    const double median = divergences[divergences.size() / 2];
    RecordProperty("median_kl_" + kernels.name, fmt::format("{:.3g}", median));
    EXPECT_LE(median, 1.25 * peer["median_kl"].get<double>());
  }
}

std::string TypeName(const ::testing::TestParamInfo<const char*>& info) { return info.param; }

INSTANTIATE_TEST_SUITE_P(Types, GgufGolden,
                         ::testing::Values("f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1",
                                           "q2_k", "q3_k_m", "q4_k_m", "q5_k_m", "q6_k", "iq4_xs"),
                         TypeName);

}  // namespace
}  // namespace fulmen
