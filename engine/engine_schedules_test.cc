// Requests that come, share, fork, are cancelled and run out of memory at random: each gets the
// logits that it gets alone on an engine that keeps nothing, bit for bit.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/testing/nano.h"
#include "model/testing/tiny_model.h"
#include "tests/testing/compare.h"

namespace fulmen {
namespace {

using testing::SameBits;
using testing::TestEngine;
using testing::TinyModel;
using testing::ValueOrDie;

using Ids = std::vector<int32_t>;

struct Kept {
  DType weights = DType::kF32;
  DType kv = DType::kF32;
  int schedules = 0;
};

// The logits before each token of each choice of each request.
using Trace = std::map<std::pair<RequestId, int64_t>, std::vector<std::vector<float>>>;

EngineOptions Traced(EngineOptions options, Trace& trace) {
  options.on_logits = [&trace](RequestId id, int64_t choice, std::span<const float> logits) {
    trace[{id, choice}].emplace_back(logits.begin(), logits.end());
  };
  return options;
}

// One engine under a random load.
class RandomLoad {
 public:
  RandomLoad(const Model& model, DType kv, uint32_t seed)
      : model_(model),
        random_(seed),
        options_(Options(kv)),
        test_(model, nullptr, Traced(options_, trace_), 2) {
    for (Ids& text : texts_) {
      for (int64_t i = 0; i < 700; ++i) {
        text.push_back(static_cast<int32_t>(Below(TinyModel::kBroken)));
      }
    }
  }

  void Run() {
    for (int step = 0; step < 60; ++step) {
      if (Below(3) == 0) Submit();
      if (Below(10) == 0 && !requests_.empty()) {
        test_.engine.Cancel(std::next(requests_.begin(), Below(requests_.size()))->first);
      }
      Step();
    }
    while (Step()) {
    }
    EXPECT_EQ(test_.engine.stats().running, 0);
    EXPECT_EQ(test_.engine.stats().waiting, 0);
    for (const auto& [id, request] : requests_) EXPECT_TRUE(done_[id]) << id;
  }

  // Compares what was heard with each request alone. Returns how many logits were the same.
  int Compare(DType kv) {
    int compared = 0;
    for (const auto& [id, request] : requests_) {
      for (int64_t choice = 0; choice < request.choices; ++choice) {
        const auto& heard = trace_[{id, choice}];
        if (heard.empty()) continue;
        Request alone = request;
        alone.choices = 1;
        alone.sampling.seed += static_cast<uint64_t>(choice);
        alone.max_tokens = std::ssize(heard);
        Trace trace;
        EngineOptions options;
        options.memory.kv_type = kv;
        options.keep = false;
        TestEngine fresh(model_, nullptr, Traced(options, trace), 1);
        ValueOrDie(Generate(fresh.engine, alone));
        const auto& expected = trace.begin()->second;
        EXPECT_EQ(expected.size(), heard.size());
        for (size_t i = 0; i < heard.size(); ++i, ++compared) {
          EXPECT_TRUE(SameBits(heard[i], expected[i]))
              << "request " << id << ", choice " << choice << ", token " << i;
        }
      }
    }
    return compared;
  }
  EngineStats stats() const { return test_.engine.stats(); }

 private:
  uint32_t Below(size_t bound) { return static_cast<uint32_t>(random_() % bound); }

  EngineOptions Options(DType kv) {
    const StatePool pool(model_.config, {.kv_type = kv});
    EngineOptions options;
    options.memory.kv_type = kv;
    options.memory.most_slot_bytes = (1 + Below(8)) * pool.slot_bytes();
    options.memory.most_page_bytes = (4 + Below(12)) * pool.page_bytes();
    options.scheduler.chunk = std::vector<int64_t>{7, 33, 100, 512}[Below(4)];
    options.scheduler.most_running = 1 + Below(6);
    // Time as the test would have it, so that chunks are of any size.
    options.clock = [this] { return clock_ += 0.001 * Below(1000); };
    options.scheduler.prompt_seconds = 1 + Below(100);
    return options;
  }

  void Submit() {
    Request request;
    const Ids& text = texts_[Below(std::size(texts_))];
    const size_t shared = Below(3) == 0 ? Below(text.size()) : 64 * Below(text.size() / 64);
    request.prompt.assign(text.begin(), text.begin() + static_cast<int64_t>(shared));
    for (uint32_t more = 1 + Below(60); more > 0; --more) {
      request.prompt.push_back(static_cast<int32_t>(Below(TinyModel::kBroken)));
    }
    if (shared > 10 && Below(2) == 0) request.borders = {static_cast<int64_t>(shared)};
    request.max_tokens = 1 + Below(Below(4) == 0 ? 80 : 8);
    request.choices = Below(5) == 0 ? 3 : 1;
    request.priority = static_cast<int>(Below(2));
    request.key = std::string(1, static_cast<char>('a' + Below(3)));
    request.sampling.temperature = 1;
    request.sampling.seed = random_();
    const auto id = test_.engine.Submit(request, [this](RequestId of, const Event& event) {
      if (std::holds_alternative<RequestDone>(event)) done_[of] = true;
    });
    requests_[ValueOrDie(id)] = request;
  }

  bool Step() {
    const bool more = test_.engine.Step();
    EXPECT_LE(stats().page_bytes, options_.memory.most_page_bytes);
    EXPECT_LE(stats().state_bytes, options_.memory.most_slot_bytes);
    return more;
  }

  const Model& model_;
  std::mt19937 random_;
  double clock_ = 0;
  Trace trace_;
  EngineOptions options_;
  TestEngine test_;
  Ids texts_[3];
  std::map<RequestId, Request> requests_;
  std::map<RequestId, bool> done_;
};

class EngineSchedules : public ::testing::TestWithParam<Kept> {};

TEST_P(EngineSchedules, ChangeNoBit) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  const int schedules = std::max(2, GetParam().schedules / 10);
#else
  const int schedules = GetParam().schedules;
#endif
  const TinyModel model(GetParam().weights, GetParam().kv);
  int compared = 0;
  int64_t cached = 0;
  int64_t suspensions = 0;
  int64_t evictions = 0;
  int64_t layered = 0;
  for (int seed = 0; seed < schedules && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    RandomLoad load(*model, GetParam().kv, static_cast<uint32_t>(seed));
    load.Run();
    compared += load.Compare(GetParam().kv);
    cached += load.stats().cached_tokens;
    suspensions += load.stats().suspensions;
    evictions += load.stats().evictions;
    layered += load.stats().layered_chunks;
  }
  EXPECT_GT(compared, 10 * schedules);
  if (schedules < 40) return;
  // All that is promised was put to the test.
  EXPECT_GT(cached, 100 * schedules);
  EXPECT_GT(suspensions, schedules / 10);
  EXPECT_GT(evictions, schedules);
  EXPECT_GT(layered, schedules);
}

INSTANTIATE_TEST_SUITE_P(
    Kept, EngineSchedules,
    ::testing::Values(Kept{.schedules = 40}, Kept{.kv = DType::kF16, .schedules = 12},
                      Kept{.kv = DType::kBF16, .schedules = 12},
                      Kept{.kv = DType::kQ8_0, .schedules = 12},
                      Kept{.weights = DType::kQ4_K, .schedules = 5},
                      Kept{.weights = DType::kQ8_0, .kv = DType::kQ8_0, .schedules = 5}),
    [](const auto& kept) {
      return fmt::format("{}_kv{}", DTypeName(kept.param.weights), DTypeName(kept.param.kv));
    });

}  // namespace
}  // namespace fulmen
