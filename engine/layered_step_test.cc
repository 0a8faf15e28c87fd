// Prompts that are read by layers beside an answer, where no step has time for them: each reads a
// few rows of a layer all the same.
#include <gtest/gtest.h>

#include <map>
#include <variant>
#include <vector>

#include "engine/testing/nano.h"
#include "model/testing/tiny_model.h"

namespace fulmen {
namespace {

using testing::TestEngine;
using testing::TinyModel;
using testing::ValueOrDie;

class LayeredStep : public ::testing::Test {
 protected:
  LayeredStep() {
    Request stream = Of(2);
    stream.max_tokens = 600;
    Submit(stream);
    StepUntil([this] { return sampled_ == 5; });
  }

  EngineOptions Options() {
    EngineOptions options;
    options.clock = [this] { return clock_ += 0.001; };
    options.scheduler.chunk = 200;
    options.scheduler.slowdown = 0.5;
    return options;
  }
  static Request Of(int64_t tokens, int64_t first = 0) {
    Request request;
    for (int64_t i = first; i < first + tokens; ++i) {
      request.prompt.push_back(static_cast<int32_t>(i * i % 61));
    }
    request.max_tokens = 1;
    return request;
  }
  template <class Condition>
  void StepUntil(const Condition& condition) {
    for (int steps = 0; steps < 2000 && !condition(); ++steps) test_.engine.Step();
    ASSERT_TRUE(condition());
  }
  int64_t chunks() const { return test_.engine.stats().layered_chunks; }
  RequestId Submit(const Request& request) {
    return ValueOrDie(test_.engine.Submit(request, [this](RequestId id, const Event& event) {
      if (const auto* finished = std::get_if<AnswerFinished>(&event)) {
        finished_[id] = finished->reason;
      } else if (const auto* done = std::get_if<RequestDone>(&event)) {
        cached_[id] = done->usage.cached_tokens;
      } else if (std::holds_alternative<TokenSampled>(event)) {
        ++sampled_;
      }
    }));
  }

  TinyModel model_;
  double clock_ = 0;
  int sampled_ = 0;
  std::map<RequestId, FinishReason> finished_;
  std::map<RequestId, int64_t> cached_;
  TestEngine test_{*model_, nullptr, Options()};
};

TEST_F(LayeredStep, TheAnswerBesideItGoesOnInEveryStep) {
  const RequestId prompt = Submit(Of(650));
  for (int before = sampled_; !finished_.contains(prompt); before = sampled_) {
    test_.engine.Step();
    ASSERT_GT(sampled_, before);
  }
  EXPECT_EQ(finished_[prompt], FinishReason::kLength);
  EXPECT_GE(chunks(), 3);
}

TEST_F(LayeredStep, TakesNoNewMemoryForEachChunk) {
  int64_t allocations = 0;
  for (int64_t i = 1; i <= 5; ++i) {
    const RequestId prompt = Submit(Of(250, i));
    StepUntil([&] { return finished_.contains(prompt); });
    EXPECT_GE(chunks(), i);
    if (i == 1) allocations = test_.memory.allocations();
  }
  EXPECT_EQ(test_.memory.allocations(), allocations);
}

TEST_F(LayeredStep, CancelledBetweenTwoLayersKeepsTheChunksBefore) {
  const Request request = Of(650);
  const RequestId first = Submit(request);
  StepUntil([this] { return chunks() == 2; });
  test_.engine.Step();  // the third has begun
  test_.engine.Cancel(first);
  test_.engine.Step();
  EXPECT_EQ(finished_.at(first), FinishReason::kCancelled);
  EXPECT_EQ(chunks(), 2);
  const RequestId again = Submit(request);
  StepUntil([&] { return cached_.contains(again); });
  EXPECT_EQ(cached_[again], 400);
}

}  // namespace
}  // namespace fulmen
