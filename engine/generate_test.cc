#include "engine/generate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include "engine/testing/nano.h"
#include "tests/testing/compare.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::NanoModel;
using testing::NanoTokenizer;
using testing::NanoVariant;
using testing::TestEngine;
using testing::ValueOrDie;

class GenerateTest : public ::testing::Test {
 protected:
  static Request Continue(const std::string& prompt, int64_t max_tokens) {
    Request request;
    request.prompt = NanoTokenizer().Encode(prompt, Tokenizer::Markers::kParse);
    request.max_tokens = max_tokens;
    return request;
  }

  static Result<GenerateResult> Run(const Request& request, const GenerateHooks& hooks = {},
                                    int threads = 1, const std::string& kernels = "cpu",
                                    int64_t chunk = 512) {
    EngineOptions options;
    options.scheduler.chunk = chunk;
    TestEngine test(NanoModel(), &NanoTokenizer(), options, threads, kernels);
    return Generate(test.engine, request, hooks);
  }
};

// Texts recorded by the authors' code are in tests/e2e/eval_test.cc.
TEST_F(GenerateTest, AGreedyTextIsStreamedWhole) {
  const Request request = Continue("Once upon a time", 30);
  const std::vector<int32_t> ids = ValueOrDie(Run(request)).ids;
  ASSERT_EQ(ids.size(), 30U);
  for (const char* kernels : {"ref", "cpu"}) {
    std::string streamed;
    GenerateHooks hooks;
    int64_t tokens = 0;
    hooks.on_piece = [&streamed](const AnswerPiece& piece) { streamed += piece.text; };
    hooks.on_token = [&tokens] { ++tokens; };
    const GenerateResult result = ValueOrDie(Run(request, hooks, 1, kernels));
    EXPECT_EQ(tokens, 30);
    EXPECT_EQ(result.ids, ids);
    EXPECT_EQ(result.text, ValueOrDie(NanoTokenizer().Decode(ids)));
    EXPECT_EQ(streamed, result.text);
    EXPECT_EQ(result.finish_reason, FinishReason::kLength);
    EXPECT_EQ(result.usage.prompt_tokens, std::ssize(request.prompt));
    EXPECT_EQ(result.usage.cached_tokens, 0);
    EXPECT_EQ(result.usage.output_tokens, 30);
  }
}

TEST_F(GenerateTest, ASeedGivesTheSameTokensWithAnyNumberOfThreads) {
  Request request = Continue("In the beginning God", 40);
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
  const Request request =
      Continue("Alice was beginning to get very tired of sitting by her sister on the bank", 20);
  const std::vector<int32_t> ids = ValueOrDie(Run(request)).ids;
  for (const int64_t chunk : {1, 7}) {
    std::vector<int64_t> reads;
    GenerateHooks hooks;
    hooks.on_prompt_read = [&reads](const PromptProgress& read) { reads.push_back(read.read); };
    EXPECT_EQ(ValueOrDie(Run(request, hooks, 1, "cpu", chunk)).ids, ids);
    const int64_t length = std::ssize(request.prompt);
    // The first is told at admission.
    EXPECT_EQ(std::ssize(reads), 1 + (length + chunk - 1) / chunk);
    EXPECT_EQ(reads.front(), 0);
    EXPECT_EQ(reads.back(), length);
  }
}

TEST_F(GenerateTest, StopStringsAndStopTokensEndTheAnswer) {
  Request request = Continue("ROMEO:\n", 60);
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
}

TEST_F(GenerateTest, CancellingKeepsWhatWasGenerated) {
  const Request request = Continue("Fellow citizens, I", 60);
  const GenerateResult whole = ValueOrDie(Run(request));
  std::atomic<bool> cancel = false;
  GenerateHooks hooks;
  hooks.cancel = &cancel;
  std::string streamed;
  hooks.on_piece = [&](const AnswerPiece& piece) {
    streamed += piece.text;
    cancel = streamed.size() >= 30;
  };
  const GenerateResult result = ValueOrDie(Run(request, hooks));
  EXPECT_EQ(result.finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(result.text, streamed);
  EXPECT_GE(streamed.size(), 30U);
  EXPECT_EQ(whole.text.substr(0, streamed.size()), streamed);

  // Before anything was read.
  cancel = true;
  EXPECT_TRUE(ValueOrDie(Run(request, hooks)).ids.empty());
}

TEST_F(GenerateTest, AnAnswerThatIsContinuedIsTheSame) {
  Request request = Continue("The Library of Congress", 40);
  const std::vector<int32_t> whole = ValueOrDie(Run(request)).ids;
  TestEngine test;
  request.max_tokens = 15;
  const GenerateResult first = ValueOrDie(Generate(test.engine, request));
  request.prompt.insert(request.prompt.end(), first.ids.begin(), first.ids.end());
  request.max_tokens = 25;
  const GenerateResult second = ValueOrDie(Generate(test.engine, request));
  // All but the last token, which was sampled and not yet read.
  EXPECT_EQ(second.usage.cached_tokens, std::ssize(request.prompt) - 1);
  std::vector<int32_t> both = first.ids;
  both.insert(both.end(), second.ids.begin(), second.ids.end());
  EXPECT_EQ(both, whole);
}

TEST_F(GenerateTest, TheContextLimitIsKept) {
  Model small = NanoVariant();
  small.config.max_position = 10;
  TestEngine test(small);
  Request request = Continue("Alice was beginning to", 60);
  request.prompt.resize(6, 5);
  const GenerateResult result = ValueOrDie(Generate(test.engine, request));
  EXPECT_EQ(result.finish_reason, FinishReason::kContext);
  EXPECT_EQ(result.ids.size(), 5U);  // the tenth token read gives the last one

  request.prompt.resize(11, 5);
  const auto too_long = Generate(test.engine, request);
  ASSERT_FALSE(too_long.has_value());
  EXPECT_EQ(too_long.error().message,
            "the prompt has 11 tokens, but the model's context ends at 10");
}

TEST_F(GenerateTest, ImpossibleRequestsAreRefused) {
  const auto message = [](auto change) {
    Request request = Continue("Alice", 5);
    change(request);
    const Result<GenerateResult> result = Run(request);
    return result ? std::string() : result.error().message;
  };
  EXPECT_EQ(message([](Request&) {}), "");
  EXPECT_EQ(message([](Request& r) { r.prompt.clear(); }), "the prompt is empty");
  EXPECT_EQ(message([](Request& r) { r.prompt[0] = 4096; }),
            "token 0 of the prompt is 4096, but the model's vocabulary has 4096 tokens");
  EXPECT_NE(message([](Request& r) { r.prompt[0] = -1; }), "");
  EXPECT_NE(message([](Request& r) { r.max_tokens = -1; }), "");
  EXPECT_NE(message([](Request& r) { r.stop_strings = {""}; }), "");
  EXPECT_NE(message([](Request& r) { r.sampling.top_p = 2; }), "");
}

TEST_F(GenerateTest, ANonFiniteLayerIsNamed) {
  Model broken = NanoVariant();
  const std::vector<float> nan = testing::NanFilled(NanoModel().config.hidden_size);
  broken.weights.layers[3].mlp_norm = {nan.data(), DType::kF32, 1, broken.config.hidden_size};
  TestEngine test(broken);
  const auto result = Generate(test.engine, Continue("Alice", 5));
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kNonFinite);
  EXPECT_NE(result.error().message.find("layer 3"), std::string::npos) << result.error().message;
}

TEST_F(GenerateTest, UnusedIdsAreNeverSampled) {
  Request request = Continue("Alice was beginning to", 40);
  const std::vector<int32_t> ids = ValueOrDie(Run(request)).ids;
  Model without = NanoVariant();
  without.unused_ids = {ids[0], ids[5]};
  TestEngine test(without, nullptr);
  const GenerateResult result = ValueOrDie(Generate(test.engine, request));
  EXPECT_EQ(result.ids.size(), 40U);
  EXPECT_TRUE(result.text.empty());
  for (const int32_t id : result.ids) EXPECT_TRUE(id != ids[0] && id != ids[5]);
}

TEST_F(GenerateTest, EndTokens) {
  const std::vector<int32_t> end =
      NanoTokenizer().Encode("<end_of_sentence>", Tokenizer::Markers::kParse);
  EXPECT_EQ(EndTokens(NanoModel(), &NanoTokenizer(), false), end);
  EXPECT_EQ(EndTokens(NanoModel(), nullptr, false), end);
  Model other = NanoVariant();
  other.config.eos_ids.clear();
  EXPECT_TRUE(EndTokens(other, nullptr, false).empty());
  other.config.eos_ids = {9};
  other.generation.eos_ids = {7, 9};
  EXPECT_EQ(EndTokens(other, nullptr, false), (std::vector<int32_t>{7, 9}));
}

TEST_F(GenerateTest, DeclaredEndTokensAreNotForbidden) {
  const int32_t end_of_turn = *NanoTokenizer().TokenId("<end_of_sentence>");
  Model model = NanoVariant();
  model.unused_ids = {3, 7, 9, end_of_turn};
  model.config.eos_ids = {9};
  model.generation.eos_ids = {7};
  EXPECT_EQ(ForbiddenTokens(model, nullptr), (std::vector<int32_t>{3, end_of_turn}));
  EXPECT_EQ(ForbiddenTokens(model, &NanoTokenizer()), std::vector<int32_t>{3});

  // What is generated first ends the answer although its embedding row may be zero.
  Request request = Continue("Alice was beginning to", 40);
  const std::vector<int32_t> ids = ValueOrDie(Run(request)).ids;
  model.unused_ids = {ids[5]};
  model.generation.eos_ids = {ids[5]};
  request.stop_tokens = EndTokens(model, nullptr, false);
  TestEngine test(model, nullptr);
  const GenerateResult result = ValueOrDie(Generate(test.engine, request));
  EXPECT_EQ(result.finish_reason, FinishReason::kStop);
  EXPECT_LE(result.ids.size(), 5U);
}

TEST(AnswerDefaults, TheGenerationConfigGoesBeforeTheFamily) {
  GenerationConfig advice;
  EXPECT_EQ(DefaultsFor(advice, ChatFormat::kText01).sampling.temperature, 0.1);
  EXPECT_EQ(DefaultsFor(advice, ChatFormat::kM1).max_tokens, 8192);
  advice.temperature = 0.25;
  advice.top_k = 40;
  advice.min_p = 0.05;
  advice.repetition_penalty = 1.5;
  const AnswerDefaults defaults = DefaultsFor(advice, std::nullopt);
  EXPECT_EQ(defaults.sampling.temperature, 0.25);
  EXPECT_EQ(defaults.sampling.top_k, 40);
  EXPECT_EQ(defaults.sampling.top_p, 0.95);
  EXPECT_EQ(defaults.sampling.min_p, 0.05);
  EXPECT_EQ(defaults.sampling.repetition_penalty, 1.5);
  EXPECT_EQ(defaults.max_tokens, 256);
  advice.top_p = 0.5;
  advice.max_new_tokens = 7;
  EXPECT_EQ(DefaultsFor(advice, std::nullopt).sampling.top_p, 0.5);
  EXPECT_EQ(DefaultsFor(advice, std::nullopt).max_tokens, 7);
}

}  // namespace
}  // namespace fulmen
