#include "engine/engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <map>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "engine/testing/nano.h"
#include "model/testing/tiny_model.h"

namespace fulmen {
namespace {

using testing::RunToEnd;
using testing::TestEngine;
using testing::TinyModel;
using testing::ValueOrDie;

using Ids = std::vector<int32_t>;

// All events of some requests.
class Listener {
 public:
  struct Heard {
    std::map<int64_t, Ids> sampled;             // by choice
    std::map<int64_t, AnswerFinished> answers;  // by choice
    std::vector<PromptProgress> progress;
    std::optional<RequestDone> done;
  };

  EventSink sink() {
    return [this](RequestId id, const Event& event) {
      Heard& heard = heard_[id];
      EXPECT_FALSE(heard.done) << "an event after the last";
      if (const auto* progress = std::get_if<PromptProgress>(&event)) {
        heard.progress.push_back(*progress);
      } else if (const auto* sampled = std::get_if<TokenSampled>(&event)) {
        heard.sampled[sampled->choice].push_back(sampled->id);
      } else if (const auto* finished = std::get_if<AnswerFinished>(&event)) {
        EXPECT_TRUE(heard.answers.emplace(finished->choice, *finished).second);
        EXPECT_EQ(heard.sampled[finished->choice], finished->ids);
      } else if (const auto* done = std::get_if<RequestDone>(&event)) {
        heard.done = *done;
      }
    };
  }
  Heard& operator[](RequestId id) { return heard_[id]; }
  bool done(RequestId id) { return heard_[id].done.has_value(); }

 private:
  std::map<RequestId, Heard> heard_;
};

Ids RandomIds(std::mt19937& random, int64_t count) {
  Ids ids;
  for (int64_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<int32_t>(random() % TinyModel::kBroken));
  }
  return ids;
}

Request Asking(Ids prompt, int64_t max_tokens = 4) {
  Request request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  return request;
}

class EngineTest : public ::testing::Test {
 protected:
  static const Model& Tiny() {
    static const TinyModel model;
    return *model;
  }
  static EngineOptions Slots(int64_t slots, int64_t pages = 1000) {
    const StatePool pool(Tiny().config);
    EngineOptions options;
    options.memory.most_slot_bytes = slots * pool.slot_bytes();
    options.memory.most_page_bytes = pages * pool.page_bytes();
    return options;
  }
  RequestId Submit(Engine& engine, const Request& request) {
    return ValueOrDie(engine.Submit(request, listener_.sink()));
  }

  std::mt19937 random_{1};
  Listener listener_;
};

TEST_F(EngineTest, ThoseThatBeginAlikeAreReadOnce) {
  TestEngine test(Tiny(), nullptr);
  const Ids shared = RandomIds(random_, 600);
  std::vector<RequestId> requests;
  for (int i = 0; i < 4; ++i) {
    Ids prompt = shared;
    prompt.push_back(i);
    prompt.push_back(1);
    requests.push_back(Submit(test.engine, Asking(prompt, 1)));
  }
  RunToEnd(test.engine);
  for (const RequestId id : requests) ASSERT_TRUE(listener_.done(id));
  EXPECT_EQ(listener_[requests[0]].done->usage.cached_tokens, 0);
  for (int i = 1; i < 4; ++i) {
    EXPECT_EQ(listener_[requests[static_cast<size_t>(i)]].done->usage.cached_tokens, 600);
  }
  EXPECT_EQ(test.engine.stats().read_tokens, 600 + 4 * 2);
}

TEST_F(EngineTest, ChoicesShareTheReadingOfTheirPrompt) {
  TestEngine test(Tiny(), nullptr);
  Request request = Asking(RandomIds(random_, 300), 5);
  request.sampling.temperature = 1;
  request.choices = 5;
  const RequestId id = Submit(test.engine, request);
  RunToEnd(test.engine);
  ASSERT_TRUE(listener_.done(id));
  EXPECT_EQ(listener_[id].answers.size(), 5U);
  EXPECT_EQ(listener_[id].done->usage.prompt_tokens, 300);
  EXPECT_EQ(listener_[id].done->usage.output_tokens, 25);
  // The others read the last token of the prompt each, for its logits; and each answer's first
  // four.
  EXPECT_EQ(test.engine.stats().read_tokens, 300 + 4 + 5 * 4);
  for (int64_t choice = 0; choice < 5; ++choice) {
    TestEngine alone(Tiny(), nullptr);
    Request one = request;
    one.choices = 1;
    one.sampling.seed += static_cast<uint64_t>(choice);
    EXPECT_EQ(ValueOrDie(Generate(alone.engine, one)).ids, listener_[id].answers[choice].ids);
  }
}

TEST_F(EngineTest, SpacesShareNothing) {
  TestEngine test(Tiny(), nullptr);
  Request request = Asking(RandomIds(random_, 200));
  request.space = "a";
  const RequestId first = Submit(test.engine, request);
  RunToEnd(test.engine);
  request.space = "b";
  const RequestId second = Submit(test.engine, request);
  RunToEnd(test.engine);
  EXPECT_EQ(listener_[second].done->usage.cached_tokens, 0);
  EXPECT_EQ(listener_[first].answers[0].ids, listener_[second].answers[0].ids);
}

TEST_F(EngineTest, ACancelledPromptIsNotReadAgain) {
  EngineOptions options;
  options.scheduler.chunk = 100;
  TestEngine test(Tiny(), nullptr, options);
  const Request request = Asking(RandomIds(random_, 1000));
  const RequestId first = Submit(test.engine, request);
  for (int i = 0; i < 3; ++i) test.engine.Step();
  test.engine.Cancel(first);
  EXPECT_FALSE(test.engine.Step());
  ASSERT_TRUE(listener_.done(first));
  EXPECT_EQ(listener_[first].answers[0].reason, FinishReason::kCancelled);
  EXPECT_EQ(test.engine.stats().running, 0);
  const RequestId again = Submit(test.engine, request);
  RunToEnd(test.engine);
  EXPECT_EQ(listener_[again].done->usage.cached_tokens, 300);

  // Cancelled before it started, twice, and after it ended.
  const RequestId waiting = Submit(test.engine, request);
  test.engine.Cancel(waiting);
  test.engine.Cancel(waiting);
  test.engine.Cancel(again);
  test.engine.Cancel(12345);
  RunToEnd(test.engine);
  EXPECT_EQ(listener_[waiting].answers[0].reason, FinishReason::kCancelled);
}

TEST_F(EngineTest, ADeadlineEndsWhatWaitsAndWhatRuns) {
  double now = 10;
  EngineOptions options;
  options.clock = [&now] { return now; };
  options.scheduler.most_running = 1;
  TestEngine test(Tiny(), nullptr, options);
  Request request = Asking(RandomIds(random_, 20), 1000);
  request.deadline = 12;
  const RequestId runs = Submit(test.engine, request);
  const RequestId waits = Submit(test.engine, request);
  for (int i = 0; i < 5; ++i) test.engine.Step();
  EXPECT_FALSE(listener_.done(runs));
  now = 12;
  EXPECT_FALSE(test.engine.Step());
  EXPECT_EQ(listener_[runs].answers[0].reason, FinishReason::kDeadline);
  EXPECT_EQ(listener_[runs].answers[0].ids.size(), 5U);
  EXPECT_EQ(listener_[runs].done->timings.decode_seconds, 0);
  EXPECT_EQ(listener_[waits].answers[0].reason, FinishReason::kDeadline);
  EXPECT_EQ(listener_[waits].done->timings.queue_seconds, 2);
}

TEST_F(EngineTest, TheQueueIsBounded) {
  EngineOptions options;
  options.most_waiting = 3;
  TestEngine test(Tiny(), nullptr, options);
  Request request = Asking(RandomIds(random_, 20));
  request.choices = 2;
  Submit(test.engine, request);
  const auto full = test.engine.Submit(request, listener_.sink());
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, ErrorCode::kNoRoom);
  EXPECT_EQ(full.error().message, "2 answers wait already, and 3 may");
  EXPECT_EQ(test.engine.stats().waiting, 0);  // as of the last step
  test.engine.Step();
  Submit(test.engine, request);
  RunToEnd(test.engine);
}

// Two long answers and room for one: the second is put aside, and both come out as if alone.
TEST_F(EngineTest, WantOfMemoryLosesNoToken) {
  for (const bool keep : {true, false}) {
    listener_ = {};
    EngineOptions options = Slots(4, 3);
    options.keep = keep;
    TestEngine test(Tiny(), nullptr, options);
    const Ids first = RandomIds(random_, 200);
    const Ids second = RandomIds(random_, 200);
    const RequestId a = Submit(test.engine, Asking(first, 400));
    const RequestId b = Submit(test.engine, Asking(second, 400));
    while (test.engine.Step()) {
      EXPECT_LE(test.engine.stats().page_bytes, options.memory.most_page_bytes);
      EXPECT_LE(test.engine.stats().state_bytes, options.memory.most_slot_bytes);
    }
    EXPECT_GT(test.engine.stats().suspensions, 0);
    for (const auto& [id, prompt] : {std::pair(a, first), std::pair(b, second)}) {
      TestEngine alone(Tiny(), nullptr);
      EXPECT_EQ(ValueOrDie(Generate(alone.engine, Asking(prompt, 400))).ids,
                listener_[id].answers[0].ids);
    }
  }
}

TEST_F(EngineTest, AHigherPriorityPushesALowerOneAside) {
  TestEngine test(Tiny(), nullptr, Slots(1));
  const RequestId low = Submit(test.engine, Asking(RandomIds(random_, 50), 50));
  for (int i = 0; i < 10; ++i) test.engine.Step();
  Request urgent = Asking(RandomIds(random_, 50), 3);
  urgent.priority = 1;
  const RequestId high = Submit(test.engine, urgent);
  while (!listener_.done(high)) ASSERT_TRUE(test.engine.Step());
  EXPECT_FALSE(listener_.done(low));
  RunToEnd(test.engine);
  EXPECT_EQ(listener_[low].answers[0].ids.size(), 50U);
  EXPECT_EQ(test.engine.stats().suspensions, 1);
}

TEST_F(EngineTest, ABrokenSequenceHarmsNoOther) {
  TestEngine test(Tiny(), nullptr);
  const Ids good = RandomIds(random_, 40);
  Ids bad = good;
  bad[30] = TinyModel::kBroken;
  const RequestId first = Submit(test.engine, Asking(bad));
  const RequestId second = Submit(test.engine, Asking(good));
  RunToEnd(test.engine);
  ASSERT_TRUE(listener_.done(first));
  EXPECT_EQ(listener_[first].answers[0].reason, FinishReason::kError);
  EXPECT_EQ(listener_[first].done->status.error().code, ErrorCode::kNonFinite);
  EXPECT_EQ(listener_[second].answers[0].reason, FinishReason::kLength);
  // Nothing of it was kept.
  const RequestId again = Submit(test.engine, Asking(bad));
  RunToEnd(test.engine);
  EXPECT_LE(listener_[again].done->usage.cached_tokens, 30);
}

TEST_F(EngineTest, WhatMemoryCannotHoldIsRefused) {
  TestEngine test(Tiny(), nullptr, Slots(2, 2));
  EXPECT_EQ(test.engine.max_position(), 512);
  const auto refused = test.engine.Submit(Asking(RandomIds(random_, 513)), listener_.sink());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message,
            "the prompt has 513 tokens, but the memory for keys and values holds 512");
  const RequestId fits = Submit(test.engine, Asking(RandomIds(random_, 500), 100));
  RunToEnd(test.engine);
  EXPECT_EQ(listener_[fits].answers[0].reason, FinishReason::kContext);
  EXPECT_EQ(listener_[fits].answers[0].ids.size(), 13U);
}

// Pages are whole, and a context need not be: what lies in its last page must have room, too.
TEST_F(EngineTest, AContextThatEndsWithinAPageIsHeldByWholePages) {
  TinyModel tiny;
  Model model{tiny->config, nullptr, tiny->weights, tiny->unused_ids};
  model.config.max_position = 300;
  TestEngine test(model, nullptr, Slots(2, 1));
  EXPECT_EQ(test.engine.max_position(), 256);
  const RequestId id = Submit(test.engine, Asking(RandomIds(random_, 250), 100));
  for (int steps = 0; test.engine.Step(); ++steps) ASSERT_LT(steps, 100) << "it never ends";
  EXPECT_EQ(listener_[id].answers[0].reason, FinishReason::kContext);
  TestEngine roomy(model, nullptr, Slots(2, 2));
  EXPECT_EQ(roomy.engine.max_position(), 300);
}

// One conversation that fills memory goes on from its own snapshot, in the page it has begun.
TEST_F(EngineTest, ASnapshotThatFillsMemoryIsGoneOnFrom) {
  TestEngine test(Tiny(), nullptr, Slots(1, 4));
  Ids prompt = RandomIds(random_, 860);
  Submit(test.engine, Asking(prompt, 1));
  RunToEnd(test.engine);
  prompt.push_back(1);
  const RequestId next = Submit(test.engine, Asking(prompt, 1));
  RunToEnd(test.engine);
  const RequestDone& done = *listener_[next].done;
  EXPECT_TRUE(done.status) << done.status.error().message;
  EXPECT_GE(done.usage.cached_tokens, 859);
}

TEST_F(EngineTest, TellsLogprobsAndFollowsAScript) {
  TestEngine test(Tiny(), nullptr, Slots(4));
  Request request = Asking(RandomIds(random_, 20), 4);
  std::vector<TokenSampled> sampled;
  const auto listen = [&](RequestId, const Event& event) {
    if (const auto* token = std::get_if<TokenSampled>(&event)) sampled.push_back(*token);
  };
  request.top_logprobs = 3;
  ASSERT_TRUE(test.engine.Submit(request, listen));
  RunToEnd(test.engine);
  ASSERT_EQ(sampled.size(), 4U);
  for (const TokenSampled& token : sampled) {
    ASSERT_EQ(token.top.size(), 3U);
    EXPECT_EQ(token.top[0].id, token.id);  // greedy
    EXPECT_EQ(token.top[0].logprob, token.logprob);
    EXPECT_LE(token.top[1].logprob, token.top[0].logprob);
  }
  request.script = {9, 8, sampled[0].id};
  sampled.clear();
  ASSERT_TRUE(test.engine.Submit(request, listen));
  RunToEnd(test.engine);
  ASSERT_EQ(sampled.size(), 4U);
  EXPECT_EQ(sampled[0].id, 9);
  EXPECT_EQ(sampled[1].id, 8);
  EXPECT_LE(sampled[0].logprob, sampled[0].top[0].logprob);
}

TEST_F(EngineTest, StopTokensWaitForTheFewestTokens) {
  TestEngine test(Tiny(), nullptr, Slots(4));
  Request request = Asking(RandomIds(random_, 20), 6);
  const RequestId free = Submit(test.engine, request);
  RunToEnd(test.engine);
  request.stop_tokens = {listener_[free].answers[0].ids[1]};
  const RequestId ended = Submit(test.engine, request);
  request.min_tokens = 6;
  const RequestId longer = Submit(test.engine, request);
  request.max_tokens = request.min_tokens = 0;
  const RequestId none = Submit(test.engine, request);
  RunToEnd(test.engine);
  EXPECT_EQ(listener_[ended].answers[0].reason, FinishReason::kStop);
  EXPECT_LE(listener_[ended].answers[0].ids.size(), 1U);
  EXPECT_EQ(listener_[longer].answers[0].reason, FinishReason::kLength);
  EXPECT_EQ(listener_[longer].answers[0].ids.size(), 6U);
  EXPECT_EQ(listener_[none].answers[0].reason, FinishReason::kLength);
  EXPECT_EQ(listener_[none].answers[0].ids.size(), 0U);
  EXPECT_EQ(listener_[none].done->usage.output_tokens, 0);
  request.max_tokens = 2;
  request.min_tokens = 3;
  EXPECT_FALSE(test.engine.Submit(request, listener_.sink()));
}

// The same on a thread of its own, asked from others.
TEST_F(EngineTest, RunsOnAThread) {
  TestEngine test(Tiny(), nullptr);
  std::thread engine([&] { test.engine.Run(); });
  std::vector<std::thread> clients;
  std::atomic<int> answered = 0;
  for (uint32_t seed = 0; seed < 4; ++seed) {
    clients.emplace_back([&, seed] {
      std::mt19937 random(seed);
      for (int i = 0; i < 10; ++i) {
        std::promise<FinishReason> finished;
        const RequestId id = ValueOrDie(
            test.engine.Submit(Asking(RandomIds(random, 1 + random() % 100), 1 + random() % 20),
                               [&finished](RequestId, const Event& event) {
                                 if (const auto* end = std::get_if<AnswerFinished>(&event)) {
                                   finished.set_value(end->reason);
                                 }
                               }));
        if (random() % 3 == 0) test.engine.Cancel(id);
        finished.get_future().wait();
        ++answered;
        (void)test.engine.stats();
      }
    });
  }
  for (std::thread& client : clients) client.join();
  test.engine.Stop();
  engine.join();
  EXPECT_EQ(answered, 40);
}

}  // namespace
}  // namespace fulmen
