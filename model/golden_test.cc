// Whole models against the results of the authors' own code (see docs/numerics.md for the
// tolerances).
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "formats/checkpoint.h"
#include "kernels/testing/guarded_device.h"
#include "model/forward.h"
#include "model/testing/checkpoint_values.h"
#include "model/testing/test_sequence.h"
#include "model/weights.h"
#include "tests/testing/compare.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::GoldenFolder;
using testing::NearRelativeToLargest;
using testing::Values;
using Ids = std::vector<int32_t>;

constexpr double kAgainstReference = 1e-4;
constexpr double kChunkLogits = 1e-5;
constexpr double kChunkStates = 1e-4;

Ids ToIds(const std::vector<int64_t>& wide) { return Ids(wide.begin(), wide.end()); }

// What one prompt gives, chunked or not.
struct Outcome {
  std::vector<float> logits;  // [T or last, vocab]
  std::vector<float> hidden;  // [layers + 1, T, hidden], whole prompts only
  std::vector<int32_t> experts;
  std::vector<float> routing_weights;
  std::map<int64_t, std::vector<float>> states;
};

class Runner {
 public:
  // `guarded`: in memory that the host cannot touch.
  Runner(const std::string& folder, const std::string& kernels, bool guarded = false)
      : scratch_(/*poison=*/true, guarded ? device_ : HostMemory()) {
    Result<Model> model = LoadModel(folder);
    FULMEN_CHECK(model.has_value(), "{}", model.error().message);
    model_.emplace(*std::move(model));
    Result<const Kernels*> selected = SelectKernels(kernels);
    FULMEN_CHECK(selected.has_value(), "{}", selected.error().message);
    kernels_ = guarded ? device_.Guard(**selected) : **selected;
  }

  const Config& config() const { return model_->config; }
  void UseOriginalSlopes() {
    model_->config.native = false;
    for (int64_t layer = 0; layer < config().layer_count(); ++layer) {
      std::vector<float>& decay = model_->weights.decay[static_cast<size_t>(layer)];
      if (!decay.empty()) decay = LightningDecay(config(), layer);
    }
  }

  // Logits of the last `last` tokens (0: of all), the prompt cut into chunks of `chunk` (0: whole).
  Outcome Run(const Ids& ids, int64_t chunk, int64_t last = 0) {
    const auto tokens = static_cast<int64_t>(ids.size());
    if (chunk == 0) chunk = tokens;
    if (last == 0) last = tokens;
    Outcome outcome;
    outcome.logits = testing::NanFilled(last * config().vocab_size);
    ForwardCapture capture;
    if (chunk >= tokens) {
      const int64_t choices = config().layer_count() * tokens * config().experts_per_token;
      outcome.hidden =
          testing::NanFilled((config().layer_count() + 1) * tokens * config().hidden_size);
      outcome.experts.resize(static_cast<size_t>(choices));
      outcome.routing_weights = testing::NanFilled(choices);
      capture = {outcome.hidden.data(), outcome.experts.data(), outcome.routing_weights.data()};
    }
    testing::TestSequence sequence(config());
    SequenceState& state = sequence.state;
    for (int64_t first = 0; first < tokens; first += chunk) {
      const int64_t count = std::min(chunk, tokens - first);
      const int64_t skipped = tokens - last;  // positions before the first wanted logits
      const int64_t wanted = std::clamp(first + count - skipped, int64_t{0}, count);
      Matrix logits(
          outcome.logits.data() + (first + count - wanted - skipped) * config().vocab_size, wanted,
          config().vocab_size);
      const Status status =
          Forward(*model_, Compute(kernels_, context_),
                  std::span(ids).subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
                  state, logits, capture);
      FULMEN_CHECK(status.has_value(), "{}", status.error().message);
    }
    for (int64_t layer = 0; layer < config().layer_count(); ++layer) {
      if (config().layers[static_cast<size_t>(layer)] != LayerKind::kLightning) continue;
      std::vector<float>& s = outcome.states[layer];
      s = testing::NanFilled(config().attention_size() * config().head_dim);
      kernels_.lightning_state(context_, model_->weights.decay[static_cast<size_t>(layer)],
                               state.position(), state.lightning(layer).data(),
                               Matrix(s.data(), config().attention_size(), config().head_dim));
    }
    return outcome;
  }

  Ids Greedy(const Ids& prompt, size_t count) {
    testing::TestSequence sequence(config());
    std::vector<float> logits(static_cast<size_t>(config().vocab_size));
    Ids next = prompt;
    Ids result;
    while (result.size() < count) {
      const Status status = Forward(*model_, Compute(kernels_, context_), next, sequence.state,
                                    Matrix(logits.data(), 1, config().vocab_size));
      FULMEN_CHECK(status.has_value(), "{}", status.error().message);
      const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
      next = {static_cast<int32_t>(best)};
      result.push_back(next[0]);
    }
    return result;
  }

 private:
  std::optional<Model> model_;
  testing::GuardedDevice device_;
  Kernels kernels_;
  ThreadPool pool_{2};
  Workspace scratch_;
  KernelContext context_{pool_, scratch_};
};

void ExpectSameStates(const Outcome& actual, const Checkpoint& expected, const std::string& name) {
  for (const auto& [layer, state] : actual.states) {
    const std::string key = name + ".state." + std::to_string(layer);
    if (!expected.tensors().contains(key)) continue;
    EXPECT_TRUE(NearRelativeToLargest(state, Values<float>(expected, key), kAgainstReference))
        << key;
  }
}

// Everything the goldens record of one prompt.
void ExpectGolden(Runner& runner, const Checkpoint& expected, const std::string& name) {
  SCOPED_TRACE(name);
  const Ids ids = ToIds(Values<int64_t>(expected, name + ".ids"));
  const std::vector<float> logits = Values<float>(expected, name + ".logits");
  const auto rows = static_cast<int64_t>(logits.size()) / runner.config().vocab_size;
  const Outcome outcome = runner.Run(ids, 0, rows);
  EXPECT_TRUE(NearRelativeToLargest(outcome.logits, logits, kAgainstReference));
  ExpectSameStates(outcome, expected, name);
  const auto& tensors = expected.tensors();
  if (tensors.contains(name + ".hidden")) {
    EXPECT_TRUE(NearRelativeToLargest(outcome.hidden, Values<float>(expected, name + ".hidden"),
                                      kAgainstReference));
  }
  if (tensors.contains(name + ".experts")) {
    EXPECT_EQ(outcome.experts, Values<int32_t>(expected, name + ".experts"));
  }
  if (tensors.contains(name + ".expert_weights")) {
    EXPECT_TRUE(NearRelativeToLargest(outcome.routing_weights,
                                      Values<float>(expected, name + ".expert_weights"),
                                      kAgainstReference));
  }
  if (tensors.contains(name + ".greedy")) {
    const Ids greedy = ToIds(Values<int64_t>(expected, name + ".greedy"));
    EXPECT_EQ(runner.Greedy(ids, greedy.size()), greedy);
  }
}

std::vector<std::string> PromptNames(const Checkpoint& expected) {
  std::vector<std::string> names;
  for (const auto& [key, view] : expected.tensors()) {
    if (key.ends_with(".ids")) names.push_back(key.substr(0, key.size() - 4));
  }
  FULMEN_CHECK(!names.empty(), "a golden without prompts");
  return names;
}

Checkpoint OpenOrDie(const std::string& path) {
  Result<Checkpoint> file = Checkpoint::Open(path);
  FULMEN_CHECK(file.has_value(), "{}", file.error().message);
  return *std::move(file);
}

struct GoldenCase {
  std::string folder;
  std::string kernels;
};

std::string CaseName(const ::testing::TestParamInfo<GoldenCase>& info) {
  std::string name = info.param.folder + "_" + info.param.kernels;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

std::vector<GoldenCase> Cases() {
  std::vector<GoldenCase> cases;
  for (const char* folder :
       {"hybrid", "hybrid-bf16", "hybrid-f16", "native", "m1", "linear", "softmax", "irregular"}) {
    for (const char* kernels : {"ref", "cpu"}) cases.push_back({folder, kernels});
  }
  return cases;
}

class ModelGolden : public ::testing::TestWithParam<GoldenCase> {
 protected:
  void SetUp() override {
    folder_ = GoldenFolder("text/" + GetParam().folder);
    if (folder_.empty()) GTEST_SKIP() << "no golden text/" << GetParam().folder;
  }
  std::string folder_;
};

TEST_P(ModelGolden, ReproducesTheReference) {
  Runner runner(folder_, GetParam().kernels);
  const Checkpoint expected = OpenOrDie(folder_ + "/expected.safetensors");
  for (const std::string& name : PromptNames(expected)) ExpectGolden(runner, expected, name);
}

TEST_P(ModelGolden, ReproducesTheReferenceOnAGuardedDevice) {
  Runner runner(folder_, GetParam().kernels, /*guarded=*/true);
  const Checkpoint expected = OpenOrDie(folder_ + "/expected.safetensors");
  for (const std::string& name : PromptNames(expected)) ExpectGolden(runner, expected, name);
}

TEST_P(ModelGolden, ChunksAgree) {
  Runner runner(folder_, GetParam().kernels);
  const Checkpoint expected = OpenOrDie(folder_ + "/expected.safetensors");
  Ids longest;
  for (const std::string& name : PromptNames(expected)) {
    const Ids ids = ToIds(Values<int64_t>(expected, name + ".ids"));
    if (ids.size() > longest.size()) longest = ids;
  }
  const Outcome whole = runner.Run(longest, 0);
  for (const int64_t chunk : {1, 7, 64, 255, 256, 257}) {
    SCOPED_TRACE(chunk);
    const Outcome chunked = runner.Run(longest, chunk);
    EXPECT_TRUE(NearRelativeToLargest(chunked.logits, whole.logits, kChunkLogits));
    for (const auto& [layer, state] : chunked.states) {
      EXPECT_TRUE(NearRelativeToLargest(state, whole.states.at(layer), kChunkStates))
          << "layer " << layer;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Text, ModelGolden, ::testing::ValuesIn(Cases()), CaseName);

class ModelGoldenKernels : public ::testing::TestWithParam<std::string> {};

TEST_P(ModelGoldenKernels, LongPrompt) {
  const std::string folder = GoldenFolder("text/hybrid");
  if (folder.empty()) GTEST_SKIP() << "no golden text/hybrid";
  Runner runner(folder, GetParam());
  const Checkpoint expected = OpenOrDie(folder + "/expected_long.safetensors");
  for (const std::string& name : PromptNames(expected)) ExpectGolden(runner, expected, name);
}

// The three spellings of one model must be read as the very same weights and constants, but for the
// slopes, of which the native scheme has its own.
TEST_P(ModelGoldenKernels, SchemesGiveIdenticalBits) {
  const std::string original = GoldenFolder("text/hybrid");
  if (original.empty()) GTEST_SKIP() << "no golden text/hybrid";
  const Checkpoint expected = OpenOrDie(original + "/expected.safetensors");
  const Ids ids = ToIds(Values<int64_t>(expected, "p257.ids"));
  Runner runner(original, GetParam());
  const Outcome outcome = runner.Run(ids, 64);
  for (const char* scheme : {"text/hybrid-native", "text/hybrid-native-factor"}) {
    const std::string folder = GoldenFolder(scheme);
    if (folder.empty()) continue;
    Runner other(folder, GetParam());
    other.UseOriginalSlopes();
    const Outcome other_outcome = other.Run(ids, 64);
    EXPECT_EQ(outcome.logits, other_outcome.logits) << scheme;
    EXPECT_EQ(outcome.states, other_outcome.states) << scheme;
  }
}

INSTANTIATE_TEST_SUITE_P(Text, ModelGoldenKernels, ::testing::Values("ref", "cpu"),
                         [](const auto& kernels) { return kernels.param; });

// Where CI says the full set is present, a run without it must not look like a success.
TEST(Goldens, FullSetIsPresentInCi) {
  const char* ci = std::getenv("CI");
  if (ci == nullptr || std::string(ci) != "true") GTEST_SKIP() << "not in CI";
  EXPECT_FALSE(testing::SharedRoot().empty())
      << "set FULMEN_SHARED, or put the goldens in ../shared";
}

}  // namespace
}  // namespace fulmen
