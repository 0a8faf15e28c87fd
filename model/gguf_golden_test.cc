// Whole GGUF models against the authors' code on the weights that their blocks stand for.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "formats/checkpoint.h"
#include "kernels/kernels.h"
#include "model/forward.h"
#include "model/testing/test_sequence.h"
#include "model/weights.h"
#include "tests/testing/compare.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

constexpr double kAgainstReference = 1e-4;

template <class T>
std::vector<T> Values(const Checkpoint& expected, const std::string& name) {
  const TensorView& view = expected.tensors().at(name);
  const T* data = reinterpret_cast<const T*>(view.data);
  return std::vector<T>(data, data + view.elements());
}

struct Outcome {
  std::vector<float> logits;
  std::vector<int32_t> experts;
};

Outcome RunModel(const Model& model, const std::vector<int32_t>& ids) {
  const Config& config = model.config;
  const auto tokens = static_cast<int64_t>(ids.size());
  Outcome outcome;
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
  const Status status =
      Forward(model, Compute(**SelectKernels("ref"), context), ids, sequence.state,
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
    const Outcome outcome = RunModel(model, ids.get<std::vector<int32_t>>());
    const std::string key = fmt::format("{}.{}", type, prompt);
    EXPECT_TRUE(testing::NearRelativeToLargest(
        outcome.logits, Values<float>(expected, key + ".logits"), kAgainstReference));
    EXPECT_EQ(outcome.experts, Values<int32_t>(expected, key + ".experts"));
  }
}

std::string TypeName(const ::testing::TestParamInfo<const char*>& info) { return info.param; }

INSTANTIATE_TEST_SUITE_P(Types, GgufGolden,
                         ::testing::Values("f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1",
                                           "q2_k", "q3_k_m", "q4_k_m", "q5_k_m", "q6_k", "iq4_xs"),
                         TypeName);

}  // namespace
}  // namespace fulmen
