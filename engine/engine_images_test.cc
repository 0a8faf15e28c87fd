// Images in requests: what is kept of them, and that it changes no bit.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <utility>
#include <vector>

#include "engine/generate.h"
#include "engine/testing/nano.h"
#include "model/testing/tiny_vision_model.h"
#include "tests/testing/compare.h"

namespace fulmen {
namespace {

using testing::SameBits;
using testing::TestEngine;
using testing::TinyVisionModel;
using testing::ValueOrDie;

using Ids = std::vector<int32_t>;
using Picture = std::shared_ptr<const TiledImage>;
using Trace = std::map<std::pair<RequestId, int64_t>, std::vector<std::vector<float>>>;

constexpr int32_t kImage = TinyVisionModel::kImage;

const TinyVisionModel& Tiny() {
  static const TinyVisionModel model;
  return model;
}

EngineOptions Traced(Trace& trace, EngineOptions options = {}) {
  options.on_logits = [&trace](RequestId id, int64_t choice, std::span<const float> logits) {
    trace[{id, choice}].emplace_back(logits.begin(), logits.end());
  };
  return options;
}

Request Asking(Ids ids, const std::vector<Picture>& pictures, int64_t max_tokens = 3) {
  Request request;
  request.images = ValueOrDie(ExpandImages(pictures, kImage, ids));
  request.prompt = std::move(ids);
  request.max_tokens = max_tokens;
  return request;
}

// The logits of a request alone, on an engine that keeps nothing.
std::vector<std::vector<float>> LogitsAlone(Request request) {
  request.choices = 1;
  Trace trace;
  EngineOptions options;
  options.keep = false;
  TestEngine test(*Tiny(), nullptr, Traced(trace, options));
  ValueOrDie(Generate(test.engine, request));
  return trace.begin()->second;
}

void ExpectSame(const std::vector<std::vector<float>>& heard,
                const std::vector<std::vector<float>>& expected) {
  ASSERT_EQ(heard.size(), expected.size());
  for (size_t i = 0; i < heard.size(); ++i) EXPECT_TRUE(SameBits(heard[i], expected[i])) << i;
}

TEST(EngineImages, CachedAndColdPromptsAgreeToTheBit) {
  const Ids prompt = {1, 2, kImage, 3, 4, kImage, 5, 6};
  const std::vector<Picture> pictures = {Tiny().Picture(1, 40, 30), Tiny().Picture(2, 60, 60)};
  const Request request = Asking(prompt, pictures);
  Trace trace;
  TestEngine test(*Tiny(), nullptr, Traced(trace));
  const GenerateResult first = ValueOrDie(Generate(test.engine, request));
  const GenerateResult again = ValueOrDie(Generate(test.engine, request));
  EXPECT_EQ(first.usage.cached_tokens, 0);
  EXPECT_EQ(again.usage.cached_tokens, std::ssize(request.prompt) - 1);
  EXPECT_EQ(test.engine.stats().image_tiles, (1 + 4) + (1 + 4));  // none the second time
  for (const auto& [id, heard] : trace) ExpectSame(heard, LogitsAlone(request));
}

TEST(EngineImages, AnotherPictureOfTheSameSizeIsAnotherPrompt) {
  Ids prompt(50, 7);
  prompt.push_back(kImage);
  prompt.insert(prompt.end(), 50, 8);
  TestEngine test(*Tiny(), nullptr);
  const auto cached = [&](const Picture& picture) {
    return ValueOrDie(Generate(test.engine, Asking(prompt, {picture}, 1))).usage.cached_tokens;
  };
  EXPECT_EQ(cached(Tiny().Picture(1, 50, 50)), 0);
  EXPECT_LE(cached(Tiny().Picture(2, 50, 50)), 50);
  // The same pixels, read once more.
  const auto tokens = Tiny().Picture(1, 50, 50)->geometry.tokens;
  EXPECT_EQ(cached(Tiny().Picture(1, 50, 50)), 100 + tokens - 1);
}

TEST(EngineImages, ChoicesReadTheirPicturesOnce) {
  Request request = Asking({1, kImage, 2, 3}, {Tiny().Picture(3, 56, 56)});
  request.choices = 3;
  request.sampling.temperature = 1;
  Trace trace;
  TestEngine test(*Tiny(), nullptr, Traced(trace));
  ValueOrDie(test.engine.Submit(request, [](RequestId, const Event&) {}));
  while (test.engine.Step()) {
  }
  EXPECT_EQ(test.engine.stats().image_tiles, 5);
  for (int64_t choice = 0; choice < 3; ++choice) {
    Request alone = request;
    alone.sampling.seed += static_cast<uint64_t>(choice);
    ExpectSame(trace.at({1, choice}), LogitsAlone(alone));
  }
}

TEST(EngineImages, WhatDoesNotFitIsRefused) {
  const Picture picture = Tiny().Picture(1, 28, 28);
  TestEngine test(*Tiny(), nullptr);
  const auto problem = [](const auto& result) {
    return result ? std::string("none") : result.error().message;
  };
  Request request = Asking({1, kImage, 2}, {picture});
  request.images.front().first = 0;
  EXPECT_EQ(problem(test.engine.Submit(request, {})),
            "an image of 10 tokens stands at 0 of the prompt, where not as many image tokens are");
  request.images.front().first = 2;
  EXPECT_NE(problem(test.engine.Submit(request, {})), "none");
  Ids ids = {1, kImage, kImage};
  EXPECT_EQ(problem(ExpandImages(std::vector{picture}, kImage, ids)),
            "1 images are given for 2 image tokens in the prompt");
  TestEngine nano;
  EXPECT_EQ(problem(nano.engine.Submit(Asking({1, kImage, 2}, {picture}), {})),
            "the model reads no images");
}

// Requests with and without pictures that come, share and are put aside for want of memory.
TEST(EngineImages, RandomSchedulesChangeNoBit) {
  int compared = 0;
  int64_t suspended = 0;
  for (uint32_t seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto below = [&random](uint32_t bound) { return random() % bound; };
    const StatePool pool((*Tiny()).config);
    Trace trace;
    EngineOptions options;
    options.memory.most_slot_bytes = (2 + below(4)) * pool.slot_bytes();
    options.memory.most_page_bytes = (4 + below(3)) * pool.page_bytes();
    options.scheduler.chunk = std::vector<int64_t>{5, 33, 512}[below(3)];
    options.scheduler.prompt_seconds = below(2) == 0 ? 0 : 0.5;  // one tile in a step, or many
    options.keep = below(4) != 0;
    TestEngine test(*Tiny(), nullptr, Traced(trace, options), 2);
    std::map<RequestId, Request> requests;
    for (int step = 0; step < 40 || test.engine.Step(); ++step) {
      if (step < 40 && below(3) == 0) {
        Ids ids;
        std::vector<Picture> pictures;
        for (uint32_t part = 0; part <= below(6); ++part) {
          ids.insert(ids.end(), 1 + below(120), static_cast<int32_t>(below(3)));
          if (below(2) == 0) continue;
          ids.push_back(kImage);
          pictures.push_back(Tiny().Picture(below(2), 20 + 20 * below(3), 40));
        }
        Request request = Asking(ids, pictures, 1 + below(5));
        request.choices = 1 + below(2);
        request.priority = static_cast<int>(below(2));
        const auto id = test.engine.Submit(request, [](RequestId, const Event&) {});
        if (id) requests.emplace(*id, request);
      }
      test.engine.Step();
    }
    suspended += test.engine.stats().suspensions;
    for (const auto& [id, request] : requests) {
      for (int64_t choice = 0; choice < request.choices; ++choice) {
        const auto heard = trace.find({id, choice});
        if (heard == trace.end()) continue;
        Request alone = request;
        alone.sampling.seed += static_cast<uint64_t>(choice);
        alone.max_tokens = std::ssize(heard->second);
        ExpectSame(heard->second, LogitsAlone(alone));
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 200);
  EXPECT_GT(suspended, 0);
}

}  // namespace
}  // namespace fulmen
