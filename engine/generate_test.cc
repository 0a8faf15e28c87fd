#include "engine/generate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/thread_pool.h"
#include "base/workspace.h"
#include "model/testing/test_sequence.h"
#include "tests/testing/compare.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

// The embedded model.
std::string ModelFolder() { return testing::SourcePath("models/fulmen-nano"); }

template <class T>
T ValueOrDie(Result<T> result) {
  FULMEN_CHECK(result.has_value(), "{}", result.error().message);
  return *std::move(result);
}

// Loaded once for all tests.
const Model& TestModel() {
  static const Model model = ValueOrDie(LoadModel(ModelFolder()));
  return model;
}
const Tokenizer& TestTokenizer() {
  static const Tokenizer tokenizer = ValueOrDie(Tokenizer::Load(ModelFolder()));
  return tokenizer;
}

class GenerateTest : public ::testing::Test {
 protected:
  static GenerateRequest Continue(const std::string& prompt, int64_t max_tokens) {
    GenerateRequest request;
    request.prompt = TestTokenizer().Encode(prompt, Tokenizer::Markers::kParse);
    request.max_tokens = max_tokens;
    return request;
  }

  static Result<GenerateResult> Run(const GenerateRequest& request, const GenerateHooks& hooks = {},
                                    int threads = 1, const std::string& kernels = "cpu",
                                    int64_t chunk = 512) {
    testing::TestSequence state(TestModel().config);
    return RunOn(state.state, request, hooks, threads, kernels, chunk);
  }

  static Result<GenerateResult> RunOn(SequenceState& state, const GenerateRequest& request,
                                      const GenerateHooks& hooks = {}, int threads = 1,
                                      const std::string& kernels = "cpu", int64_t chunk = 512) {
    ThreadPool pool(threads);
    Workspace scratch(/*poison=*/true);
    KernelContext context{pool, scratch};
    return Generate(TestModel(), &TestTokenizer(),
                    Compute(*ValueOrDie(SelectKernels(kernels)), context), state, request, hooks,
                    chunk);
  }
};

// Texts recorded by the authors' code are in tests/e2e/eval_test.cc.
TEST_F(GenerateTest, AGreedyTextIsStreamedWhole) {
  const GenerateRequest request = Continue("Once upon a time", 30);
  const std::vector<int32_t> ids = ValueOrDie(Run(request)).ids;
  ASSERT_EQ(ids.size(), 30U);
  for (const char* kernels : {"ref", "cpu"}) {
    std::string streamed;
    GenerateHooks hooks;
    int64_t tokens = 0;
    hooks.on_text = [&streamed](std::string_view text) { streamed += text; };
    hooks.on_token = [&tokens] { ++tokens; };
    const GenerateResult result = ValueOrDie(Run(request, hooks, 1, kernels));
    EXPECT_EQ(tokens, 30);
    EXPECT_EQ(result.ids, ids);
    EXPECT_EQ(result.text, ValueOrDie(TestTokenizer().Decode(ids)));
    EXPECT_EQ(streamed, result.text);
    EXPECT_EQ(result.finish_reason, FinishReason::kLength);
    EXPECT_EQ(result.unread, std::vector<int32_t>{ids.back()});
    EXPECT_EQ(result.timings.prompt_tokens, static_cast<int64_t>(request.prompt.size()));
    EXPECT_EQ(result.timings.decode_tokens, 29);
  }
}

TEST_F(GenerateTest, ASeedGivesTheSameTokensWithAnyNumberOfThreads) {
  GenerateRequest request = Continue("In the beginning God", 40);
  request.sampling.temperature = 1;
  request.sampling.top_p = 0.95;
  for (const uint64_t seed : {1U, 2U}) {
    request.sampling.seed = seed;
    const std::vector<int32_t> ids = ValueOrDie(Run(request, {}, 1)).ids;
    for (const int threads : {2, 4}) {
      EXPECT_EQ(ValueOrDie(Run(request, {}, threads)).ids, ids) << threads << " threads";
    }
    request.sampling.seed = seed + 10;
    EXPECT_NE(ValueOrDie(Run(request, {}, 1)).ids, ids);
  }
}

TEST_F(GenerateTest, TheChunkOfThePromptMakesNoDifference) {
  const GenerateRequest request =
      Continue("Alice was beginning to get very tired of sitting by her sister on the bank", 20);
  const std::vector<int32_t> ids = ValueOrDie(Run(request)).ids;
  for (const int64_t chunk : {1, 7}) {
    std::vector<int64_t> reads;
    GenerateHooks hooks;
    hooks.on_prompt_read = [&reads](int64_t read, int64_t) { reads.push_back(read); };
    EXPECT_EQ(ValueOrDie(Run(request, hooks, 1, "cpu", chunk)).ids, ids);
    const int64_t length = static_cast<int64_t>(request.prompt.size());
    EXPECT_EQ(static_cast<int64_t>(reads.size()), (length + chunk - 1) / chunk);
    EXPECT_EQ(reads.back(), length);
  }
}

TEST_F(GenerateTest, StopStringsAndStopTokensEndTheAnswer) {
  GenerateRequest request = Continue("ROMEO:\n", 60);
  const GenerateResult whole = ValueOrDie(Run(request));
  const std::string stop = whole.text.substr(20, 9);
  request.stop_strings = {"not in this text", stop};
  const GenerateResult cut = ValueOrDie(Run(request));
  EXPECT_EQ(cut.text, whole.text.substr(0, whole.text.find(stop)));
  EXPECT_EQ(cut.finish_reason, FinishReason::kStop);
  EXPECT_TRUE(cut.at_stop_string);

  request.stop_strings.clear();
  request.stop_tokens = {whole.ids[10]};
  const GenerateResult ended = ValueOrDie(Run(request));
  const auto first = std::find(whole.ids.begin(), whole.ids.end(), whole.ids[10]);
  EXPECT_EQ(ended.ids, std::vector<int32_t>(whole.ids.begin(), first));
  EXPECT_EQ(ended.finish_reason, FinishReason::kStop);
  EXPECT_FALSE(ended.at_stop_string);
  EXPECT_TRUE(ended.unread.empty());
}

TEST_F(GenerateTest, CancellingKeepsWhatWasGenerated) {
  const GenerateRequest request = Continue("Fellow citizens, I", 60);
  const GenerateResult whole = ValueOrDie(Run(request));
  std::atomic<bool> cancel = false;
  GenerateHooks hooks;
  hooks.cancel = &cancel;
  std::string streamed;
  hooks.on_text = [&](std::string_view text) {
    streamed += text;
    cancel = streamed.size() >= 30;
  };
  const GenerateResult result = ValueOrDie(Run(request, hooks));
  EXPECT_EQ(result.finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(result.text, streamed);
  EXPECT_GE(streamed.size(), 30U);
  EXPECT_EQ(whole.text.substr(0, streamed.size()), streamed);

  // Before anything was read: the whole prompt is still to be read.
  cancel = true;
  const GenerateResult nothing = ValueOrDie(Run(request, hooks));
  EXPECT_TRUE(nothing.ids.empty());
  EXPECT_EQ(nothing.unread, request.prompt);
}

TEST_F(GenerateTest, AnAnswerContinuedFromItsStateIsTheSame) {
  GenerateRequest request = Continue("The Library of Congress", 40);
  const std::vector<int32_t> whole = ValueOrDie(Run(request)).ids;
  testing::TestSequence state(TestModel().config);
  request.max_tokens = 15;
  const GenerateResult first = ValueOrDie(RunOn(state.state, request));
  request.prompt = first.unread;
  request.max_tokens = 25;
  const GenerateResult second = ValueOrDie(RunOn(state.state, request));
  std::vector<int32_t> both = first.ids;
  both.insert(both.end(), second.ids.begin(), second.ids.end());
  EXPECT_EQ(both, whole);
}

TEST_F(GenerateTest, TheContextLimitIsKept) {
  Model small{TestModel().config, nullptr, TestModel().weights, TestModel().unused_ids};
  small.config.max_position = 10;
  ThreadPool pool(1);
  Workspace scratch;
  KernelContext context{pool, scratch};
  const Compute compute(*ValueOrDie(SelectKernels("cpu")), context);
  GenerateRequest request = Continue("Alice was beginning to", 60);
  request.prompt.resize(6, 5);
  testing::TestSequence state(small.config);
  const GenerateResult result =
      ValueOrDie(Generate(small, &TestTokenizer(), compute, state.state, request));
  EXPECT_EQ(result.finish_reason, FinishReason::kContext);
  EXPECT_EQ(result.ids.size(), 5U);  // the tenth token read gives the last one
  EXPECT_EQ(state.state.position(), 10);

  testing::TestSequence fresh(small.config);
  request.prompt.resize(11, 5);
  const auto too_long = Generate(small, &TestTokenizer(), compute, fresh.state, request);
  ASSERT_FALSE(too_long.has_value());
  EXPECT_EQ(too_long.error().message,
            "the prompt has 11 tokens, but the model's context ends at 10");
  EXPECT_EQ(fresh.state.position(), 0);
}

TEST_F(GenerateTest, ImpossibleRequestsAreRefused) {
  const auto message = [](auto change) {
    GenerateRequest request = Continue("Alice", 5);
    change(request);
    const Result<GenerateResult> result = Run(request);
    return result ? std::string() : result.error().message;
  };
  EXPECT_EQ(message([](GenerateRequest&) {}), "");
  EXPECT_EQ(message([](GenerateRequest& r) { r.prompt.clear(); }), "the prompt is empty");
  EXPECT_EQ(message([](GenerateRequest& r) { r.prompt[0] = 4096; }),
            "token 0 of the prompt is 4096, but the model's vocabulary has 4096 tokens");
  EXPECT_NE(message([](GenerateRequest& r) { r.prompt[0] = -1; }), "");
  EXPECT_NE(message([](GenerateRequest& r) { r.max_tokens = 0; }), "");
  EXPECT_NE(message([](GenerateRequest& r) { r.stop_strings = {""}; }), "");
  EXPECT_NE(message([](GenerateRequest& r) { r.sampling.top_p = 2; }), "");
}

TEST_F(GenerateTest, ANonFiniteLayerIsNamed) {
  Model broken{TestModel().config, nullptr, TestModel().weights, TestModel().unused_ids};
  const std::vector<float> nan = testing::NanFilled(TestModel().config.hidden_size);
  broken.weights.layers[3].mlp_norm = {nan.data(), DType::kF32, 1, broken.config.hidden_size};
  ThreadPool pool(1);
  Workspace scratch;
  KernelContext context{pool, scratch};
  testing::TestSequence state(broken.config);
  const auto result =
      Generate(broken, &TestTokenizer(), Compute(*ValueOrDie(SelectKernels("cpu")), context),
               state.state, Continue("Alice", 5));
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kNonFinite);
  EXPECT_NE(result.error().message.find("layer 3"), std::string::npos) << result.error().message;
}

TEST_F(GenerateTest, UnusedIdsAreNeverSampled) {
  GenerateRequest request = Continue("Alice was beginning to", 40);
  const std::vector<int32_t> ids = ValueOrDie(Run(request)).ids;
  Model without{TestModel().config, nullptr, TestModel().weights, {ids[0], ids[5]}};
  ThreadPool pool(1);
  Workspace scratch;
  KernelContext context{pool, scratch};
  testing::TestSequence state(without.config);
  const GenerateResult result = ValueOrDie(Generate(
      without, nullptr, Compute(*ValueOrDie(SelectKernels("cpu")), context), state.state, request));
  EXPECT_EQ(result.ids.size(), 40U);
  EXPECT_TRUE(result.text.empty());
  for (const int32_t id : result.ids) EXPECT_TRUE(id != ids[0] && id != ids[5]);
}

TEST_F(GenerateTest, EndTokens) {
  const std::vector<int32_t> end =
      TestTokenizer().Encode("<end_of_sentence>", Tokenizer::Markers::kParse);
  EXPECT_EQ(EndTokens(TestModel(), &TestTokenizer(), false), end);
  EXPECT_EQ(EndTokens(TestModel(), nullptr, false), end);
  Model other{TestModel().config, nullptr, TestModel().weights, {}};
  other.config.eos_ids.clear();
  EXPECT_TRUE(EndTokens(other, nullptr, false).empty());
  other.config.eos_ids = {9};
  other.generation.eos_ids = {7, 9};
  EXPECT_EQ(EndTokens(other, nullptr, false), (std::vector<int32_t>{7, 9}));
}

TEST_F(GenerateTest, DeclaredEndTokensAreNotForbidden) {
  const int32_t end_of_turn = *TestTokenizer().TokenId("<end_of_sentence>");
  Model model{TestModel().config, nullptr, TestModel().weights, {3, 7, 9, end_of_turn}};
  model.config.eos_ids = {9};
  model.generation.eos_ids = {7};
  EXPECT_EQ(ForbiddenTokens(model, nullptr), (std::vector<int32_t>{3, end_of_turn}));
  EXPECT_EQ(ForbiddenTokens(model, &TestTokenizer()), std::vector<int32_t>{3});

  // What is generated first ends the answer although its embedding row may be zero.
  GenerateRequest request = Continue("Alice was beginning to", 40);
  const std::vector<int32_t> ids = ValueOrDie(Run(request)).ids;
  model.unused_ids = {ids[5]};
  model.generation.eos_ids = {ids[5]};
  request.stop_tokens = EndTokens(model, nullptr, false);
  ThreadPool pool(1);
  Workspace scratch;
  KernelContext context{pool, scratch};
  testing::TestSequence state(model.config);
  const GenerateResult result = ValueOrDie(Generate(
      model, nullptr, Compute(*ValueOrDie(SelectKernels("cpu")), context), state.state, request));
  EXPECT_EQ(result.finish_reason, FinishReason::kStop);
  EXPECT_LE(result.ids.size(), 5U);
}

TEST(AdvisedSampling, TheGenerationConfigGoesBeforeDefaults) {
  SamplingParams defaults;
  defaults.temperature = 1;
  defaults.top_p = 0.95;
  defaults.seed = 7;
  GenerationConfig advice;
  advice.temperature = 0.25;
  advice.top_k = 40;
  advice.min_p = 0.05;
  advice.repetition_penalty = 1.5;
  const SamplingParams params = AdvisedSampling(advice, defaults);
  EXPECT_EQ(params.temperature, 0.25);
  EXPECT_EQ(params.top_k, 40);
  EXPECT_EQ(params.top_p, 0.95);
  EXPECT_EQ(params.min_p, 0.05);
  EXPECT_EQ(params.repetition_penalty, 1.5);
  EXPECT_EQ(params.seed, 7U);
  advice.top_p = 0.5;
  EXPECT_EQ(AdvisedSampling(advice, defaults).top_p, 0.5);
}

}  // namespace
}  // namespace fulmen
