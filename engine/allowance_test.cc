// Answers that may sample so many tokens, and wait for more.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <optional>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "engine/testing/nano.h"

namespace fulmen {
namespace {

using testing::NanoModel;
using testing::NanoTokenizer;
using testing::RunToEnd;
using testing::TestEngine;
using testing::ValueOrDie;

struct Heard {
  std::map<int64_t, AnswerFinished> answers;
  int64_t sampled = 0;
  int64_t low = 0;
  int64_t low_at = 0;
  std::optional<RequestDone> done;
};

EventSink Listen(Heard& heard) {
  return [&heard](RequestId, const Event& event) {
    if (std::holds_alternative<TokenSampled>(event)) ++heard.sampled;
    if (std::holds_alternative<AllowanceLow>(event)) {
      ++heard.low;
      heard.low_at = heard.sampled;
    }
    if (const auto* finished = std::get_if<AnswerFinished>(&event)) {
      heard.answers[finished->choice] = *finished;
    }
    if (const auto* done = std::get_if<RequestDone>(&event)) heard.done = *done;
  };
}

Request Asking(const std::string& text, int64_t max_tokens) {
  Request request;
  request.prompt = NanoTokenizer().Encode(text, Tokenizer::Markers::kPlain);
  request.max_tokens = max_tokens;
  request.sampling.temperature = 1;
  return request;
}

std::vector<int32_t> Alone(const Request& request) {
  Request free = request;
  free.allowance.reset();
  free.choices = 1;
  Heard heard;
  TestEngine test;
  ValueOrDie(test.engine.Submit(free, Listen(heard)));
  RunToEnd(test.engine);
  return heard.answers.at(0).ids;
}

TEST(Allowance, AnAnswerWaitsForMoreAndIsTheSame) {
  Request request = Asking("Once upon a time", 40);
  const std::vector<int32_t> expected = Alone(request);
  ASSERT_EQ(expected.size(), 40);
  for (const int64_t each : {1, 2, 7, 40}) {
    TestEngine test;
    request.allowance = each;
    Heard heard;
    const RequestId id = ValueOrDie(test.engine.Submit(request, Listen(heard)));
    int64_t given = each;
    int64_t times = 1;
    for (; !heard.done; given += each, ++times) {
      RunToEnd(test.engine);
      EXPECT_EQ(heard.sampled, std::min<int64_t>(given, 40));
      EXPECT_EQ(heard.low, times);
      EXPECT_LE(heard.low_at, given - each / 2);
      if (!heard.done) test.engine.Allow(id, each);
    }
    EXPECT_EQ(heard.answers.at(0).ids, expected);
    EXPECT_EQ(heard.answers.at(0).reason, FinishReason::kLength);
  }
}

TEST(Allowance, EndsWhenNoMoreIsToCome) {
  Request request = Asking("Once upon a time", 40);
  request.choices = 3;
  request.allowance = 20;  // no multiple of 3
  TestEngine test;
  Heard heard;
  const RequestId id = ValueOrDie(test.engine.Submit(request, Listen(heard)));
  while (heard.low == 0) test.engine.Step();
  test.engine.Allow(id, 0);
  RunToEnd(test.engine);
  ASSERT_TRUE(heard.done);
  EXPECT_EQ(heard.sampled, 20);
  EXPECT_EQ(heard.done->usage.output_tokens, 20);
  for (const auto& [choice, answer] : heard.answers) {
    EXPECT_EQ(answer.reason, FinishReason::kAllowance);
  }
  test.engine.Allow(id, 100);  // too late, and harmless
  EXPECT_FALSE(test.engine.Step());
}

TEST(Allowance, NothingElseIsHeldUp) {
  Request poor = Asking("Once upon a time", 40);
  poor.allowance = 3;
  TestEngine test;
  Heard waits;
  Heard free;
  const RequestId id = ValueOrDie(test.engine.Submit(poor, Listen(waits)));
  ValueOrDie(test.engine.Submit(Asking("The sea", 30), Listen(free)));
  RunToEnd(test.engine);
  EXPECT_TRUE(free.done);
  EXPECT_FALSE(waits.done);
  test.engine.Cancel(id);
  RunToEnd(test.engine);
  EXPECT_EQ(waits.answers.at(0).reason, FinishReason::kCancelled);
  EXPECT_EQ(waits.done->usage.output_tokens, 3);
}

TEST(Allowance, AThreadSleepsUntilMoreIsGiven) {
  TestEngine test;
  std::thread thread([&] { test.engine.Run(); });
  Request request = Asking("Once upon a time", 8);
  request.allowance = 2;
  std::atomic<bool> done = false;
  std::atomic<bool> low = false;
  const RequestId id = ValueOrDie(test.engine.Submit(request, [&](RequestId, const Event& event) {
    if (std::holds_alternative<AllowanceLow>(event)) low = true;
    if (std::holds_alternative<RequestDone>(event)) done = true;
  }));
  while (!done) {
    if (low.exchange(false)) test.engine.Allow(id, 2);
    std::this_thread::yield();
  }
  test.engine.Stop();
  thread.join();
}

// What is charged for a prompt that was not read to its end.
TEST(Allowance, TellsWhatWasReadOfAPrompt) {
  EngineOptions options;
  options.scheduler.chunk = 16;
  TestEngine test(NanoModel(), &NanoTokenizer(), options);
  std::string text;
  for (int i = 0; i < 60; ++i) text += "one two three ";
  const Request request = Asking(text, 8);
  Heard waiting;
  Heard cut;
  Heard whole;
  test.engine.Cancel(ValueOrDie(test.engine.Submit(request, Listen(waiting))));
  RunToEnd(test.engine);
  EXPECT_EQ(waiting.done->usage.read_tokens, 0);
  const RequestId id = ValueOrDie(test.engine.Submit(request, Listen(cut)));
  test.engine.Step();
  test.engine.Step();
  test.engine.Cancel(id);
  RunToEnd(test.engine);
  EXPECT_EQ(cut.done->usage.read_tokens, 32);
  EXPECT_EQ(cut.done->usage.output_tokens, 0);
  ValueOrDie(test.engine.Submit(request, Listen(whole)));
  RunToEnd(test.engine);
  EXPECT_EQ(whole.done->usage.read_tokens, std::ssize(request.prompt));
  EXPECT_EQ(whole.done->usage.cached_tokens, 32);
}

}  // namespace
}  // namespace fulmen
