// An engine that keeps states on disk: what comes back from there changes no bit of an answer,
// whatever happens to the files, to the disk or to the program.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/random.h"
#include "engine/testing/nano.h"
#include "model/testing/tiny_model.h"
#include "tests/testing/compare.h"

namespace fulmen {
namespace {

namespace fs = std::filesystem;
using testing::TestEngine;
using testing::TinyModel;
using testing::ValueOrDie;

using Ids = std::vector<int32_t>;
using StepLogits = std::vector<std::vector<float>>;  // the logits before each token

Ids RandomIds(uint64_t seed, int64_t count) {
  RandomStream random(seed);
  Ids ids;
  for (int64_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<int32_t>(random.Next() % TinyModel::kBroken));
  }
  return ids;
}

Ids Joined(Ids a, const Ids& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

bool SameBits(const StepLogits& a, const StepLogits& b) {
  return std::ranges::equal(a, b,
                            [](const auto& x, const auto& y) { return testing::SameBits(x, y); });
}

struct Load {
  DType kv = DType::kF32;
  std::string folder = {};
  std::string identity = "tiny";
  int64_t slots = 100;
  int64_t pages = 1000;
  int64_t spill_bytes = int64_t{1} << 30;
};

// An engine and the logits of its requests.
class Served {
 public:
  explicit Served(const Model& model, const Load& load = {}) {
    const StatePool pool(model.config, {.kv_type = load.kv});
    EngineOptions options;
    options.memory.kv_type = load.kv;
    options.memory.most_slot_bytes = load.slots * pool.slot_bytes();
    options.memory.most_page_bytes = load.pages * pool.page_bytes();
    options.keep = !load.folder.empty();
    options.spill_folder = load.folder;
    options.spill_bytes = load.spill_bytes;
    options.model_identity = load.identity;
    options.on_logits = [this](RequestId id, int64_t, std::span<const float> logits) {
      traces_[id].emplace_back(logits.begin(), logits.end());
    };
    test_ = std::make_unique<TestEngine>(model, nullptr, std::move(options), 1);
  }

  RequestId Submit(const Ids& prompt) {
    Request request;
    request.prompt = prompt;
    request.max_tokens = 3;
    const auto id = test_->engine.Submit(request, [this](RequestId of, const Event& event) {
      if (const auto* done = std::get_if<RequestDone>(&event)) done_.emplace(of, *done);
    });
    return ValueOrDie(id);
  }
  void RunToEnd() {
    while (test_->engine.Step()) {
    }
  }
  const StepLogits& Ask(const Ids& prompt) {
    const RequestId id = Submit(prompt);
    RunToEnd();
    return Answered(id);
  }
  const StepLogits& Answered(RequestId id) {
    if (const auto done = done_.find(id); done == done_.end()) {
      ADD_FAILURE() << id << " did not end";
    } else if (!done->second.status) {
      ADD_FAILURE() << id << ": " << done->second.status.error().message;
    }
    return traces_[id];
  }

  Engine& engine() { return test_->engine; }
  EngineStats stats() const { return test_->engine.stats(); }

 private:
  std::map<RequestId, StepLogits> traces_;
  std::map<RequestId, RequestDone> done_;
  std::unique_ptr<TestEngine> test_;
};

class EngineSpill : public ::testing::Test {
 protected:
  static const Model& Tiny() {
    static const TinyModel model;
    return *model;
  }
  // What an engine says that keeps nothing.
  static const StepLogits& Expected(const Ids& prompt, DType kv = DType::kF32) {
    static std::map<std::pair<Ids, DType>, StepLogits> known;
    const auto [entry, made] = known.try_emplace({prompt, kv});
    if (made) entry->second = Served(Tiny(), {.kv = kv}).Ask(prompt);
    return entry->second;
  }
  Load Spilling() const { return {.folder = folder_ / "states"}; }
  // One of few prompts that begin alike.
  static Ids SomePrompt(RandomStream& random) {
    const Ids text = RandomIds(random.Next() % 3, 900);
    const auto length = static_cast<int64_t>(100 + random.Next() % 4 * 250);
    return Joined(Ids(text.begin(), text.begin() + length), RandomIds(random.Next() % 3, 20));
  }
  std::vector<std::string> Files() const {
    std::vector<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) {
      const auto ending = entry.path().extension();
      if (ending == ".page" || ending == ".state") files.push_back(entry.path().string());
    }
    return files;
  }

  const testing::TemporaryFolder folder_;
  const Ids prompt_ = RandomIds(1, 700);
};

TEST_F(EngineSpill, WhatWasReadIsThereAfterARestart) {
  for (const DType kv : {DType::kF32, DType::kF16}) {
    Load load = Spilling();
    load.kv = kv;
    EXPECT_TRUE(SameBits(Served(Tiny(), load).Ask(prompt_), Expected(prompt_, kv)));
    const Ids longer = Joined(prompt_, RandomIds(2, 50));
    for (const Ids& prompt : {prompt_, longer}) {
      Served again(Tiny(), load);
      EXPECT_TRUE(again.engine().spill_status());
      EXPECT_TRUE(SameBits(again.Ask(prompt), Expected(prompt, kv)));
      EXPECT_GE(again.stats().cached_tokens, 699);
      EXPECT_EQ(again.stats().spill.loaded, 1);
    }
  }
}

TEST_F(EngineSpill, WhatMemoryLostComesBack) {
  Load load = Spilling();
  load.slots = 2;
  load.pages = 4;
  Served served(Tiny(), load);
  EXPECT_TRUE(SameBits(served.Ask(prompt_), Expected(prompt_)));
  const Ids other = RandomIds(3, 700);
  EXPECT_TRUE(SameBits(served.Ask(other), Expected(other)));
  const int64_t before = served.stats().cached_tokens;
  EXPECT_TRUE(SameBits(served.Ask(prompt_), Expected(prompt_)));
  EXPECT_GT(served.stats().cached_tokens, before + 500);
  EXPECT_GE(served.stats().spill.loaded, 1);
}

TEST_F(EngineSpill, AnotherModelOrCacheTypeIsAMiss) {
  Served(Tiny(), Spilling()).Ask(prompt_);
  Load model = Spilling();
  model.identity = "another";
  Load kv = Spilling();
  kv.kv = DType::kBF16;
  for (const Load& load : {model, kv}) {
    Served served(Tiny(), load);
    EXPECT_TRUE(SameBits(served.Ask(prompt_), Expected(prompt_, load.kv)));
    EXPECT_EQ(served.stats().cached_tokens, 0);
  }
  Served served(Tiny(), Spilling());
  served.Ask(prompt_);
  EXPECT_GT(served.stats().cached_tokens, 0);
}

TEST_F(EngineSpill, DamageCostsMisses) {
  RandomStream random(5);
  for (int round = 0; round < 6; ++round) {
    Served(Tiny(), Spilling()).Ask(prompt_);
    const auto files = Files();
    ASSERT_GE(files.size(), 4U);
    for (const std::string& file : files) {
      std::string bytes = testing::ReadFileOrDie(file);
      char& byte = bytes[random.Next() % bytes.size()];
      byte = static_cast<char>(byte ^ (1 << random.Next() % 8));
      std::ofstream(file, std::ios::binary) << bytes;
    }
    Served served(Tiny(), Spilling());
    EXPECT_TRUE(SameBits(served.Ask(prompt_), Expected(prompt_)));
    EXPECT_EQ(served.stats().cached_tokens, 0);
    EXPECT_GT(served.stats().spill.damaged + served.stats().spill.foreign, 0);
  }
}

TEST_F(EngineSpill, AFullDiskCostsMisses) {
  const auto previous = std::signal(SIGXFSZ, SIG_IGN);  // as the program does
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit before = limit;
  limit.rlim_cur = 5000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const StepLogits& expected = Expected(prompt_);
  bool same = false;
  int64_t refused = 0;
  {
    Served served(Tiny(), Spilling());
    same = SameBits(served.Ask(prompt_), expected);
    refused = served.stats().spill.refused;
  }
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, previous);
  EXPECT_TRUE(same);
  EXPECT_GT(refused, 0);
  EXPECT_TRUE(Files().empty());
}

TEST_F(EngineSpill, WithoutItsFolderTheEngineAnswers) {
  Served first(Tiny(), Spilling());
  EXPECT_TRUE(first.engine().spill_status());
  Served second(Tiny(), Spilling());
  ASSERT_FALSE(second.engine().spill_status());
  EXPECT_EQ(second.engine().spill_status().error().code, ErrorCode::kConflict);
  EXPECT_TRUE(SameBits(second.Ask(prompt_), Expected(prompt_)));
  Load nameless = Spilling();
  nameless.identity = "";
  EXPECT_FALSE(Served(Tiny(), nameless).engine().spill_status());
}

// Requests come several at a time to engines of little memory, which end at random.
TEST_F(EngineSpill, RandomSchedulesChangeNoBit) {
  int64_t loaded = 0;
  int64_t evicted = 0;
  for (uint64_t seed = 0; seed < 12 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    RandomStream random(seed);
    const testing::TemporaryFolder folder;
    const Load load = {.folder = folder.path(),
                       .slots = static_cast<int64_t>(1 + random.Next() % 6),
                       .pages = static_cast<int64_t>(4 + random.Next() % 12),
                       .spill_bytes = static_cast<int64_t>(200'000 + random.Next() % 3'000'000)};
    for (int restart = 0; restart < 4; ++restart) {
      Served served(Tiny(), load);
      std::map<RequestId, Ids> asked;
      for (uint64_t requests = 2 + random.Next() % 6; requests > 0; --requests) {
        const Ids prompt = SomePrompt(random);
        asked.emplace(served.Submit(prompt), prompt);
        for (uint64_t steps = random.Next() % 6; steps > 0; --steps) served.engine().Step();
      }
      served.RunToEnd();
      for (const auto& [id, prompt] : asked) {
        EXPECT_TRUE(SameBits(served.Answered(id), Expected(prompt))) << id;
      }
      const StateStoreStats stats = served.stats().spill;
      EXPECT_LE(stats.bytes, load.spill_bytes);
      EXPECT_EQ(stats.damaged + stats.foreign + stats.unreadable, 0);
      loaded += stats.loaded;
      evicted += stats.evicted;
    }
  }
  EXPECT_GT(loaded, 12);
  EXPECT_GT(evicted, 12);
}

// Answers until it is killed.
[[noreturn]] void AnswerForever(const Model& model, const Load& load, Ids (*prompt)(RandomStream&),
                                uint64_t seed) {
  Served served(model, load);
  RandomStream random(seed);
  for (;;) {
    for (int i = 0; i < 3; ++i) served.Submit(prompt(random));
    served.RunToEnd();
  }
}

// FULMEN_KILL_ROUNDS asks for more of them.
TEST_F(EngineSpill, KilledProgramsLeaveNothingWrong) {
  const char* const asked = std::getenv("FULMEN_KILL_ROUNDS");
  const int rounds = asked != nullptr ? std::atoi(asked) : 24;
  Load load = Spilling();
  load.slots = 4;
  load.pages = 12;
  load.spill_bytes = 1'000'000;
  RandomStream random(7);
  Tiny();  // made before there are children
  int64_t loaded = 0;
  for (int round = 0; round < rounds && !HasFailure(); ++round) {
    SCOPED_TRACE(round);
    const pid_t child = fork();
    if (child == 0) AnswerForever(Tiny(), load, SomePrompt, static_cast<uint64_t>(round));
    std::this_thread::sleep_for(std::chrono::microseconds(random.Next() % 300'000));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status)) << "ended by itself with " << WEXITSTATUS(status);
    Served served(Tiny(), load);
    ASSERT_TRUE(served.engine().spill_status()) << served.engine().spill_status().error().message;
    for (int i = 0; i < 4; ++i) {
      const Ids prompt = SomePrompt(random);
      EXPECT_TRUE(SameBits(served.Ask(prompt), Expected(prompt)));
    }
    const StateStoreStats stats = served.stats().spill;
    EXPECT_EQ(stats.damaged + stats.foreign + stats.unreadable, 0);
    EXPECT_LE(stats.bytes, load.spill_bytes);
    loaded += stats.loaded;
  }
  RecordProperty("loaded", std::to_string(loaded));
  EXPECT_GT(loaded, rounds / 2);
}

}  // namespace
}  // namespace fulmen
