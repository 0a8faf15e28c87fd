#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace fulmen {
namespace {

// A machine: 10 ms to read the weights, 1 ms per token, and attention.
constexpr StepRates kMachine = {0.01, 0.001, 1e-8};

StepCost Learned() {
  StepCost cost;
  for (const int64_t rows : {1, 2, 4, 16, 64, 512}) {
    for (const int64_t position : {0, 10'000, 100'000}) {
      StepWork work;
      work.Add(rows, position);
      cost.Observe(work, kMachine.Seconds(work));
    }
  }
  return cost;
}

// Waits no longer.
void Start(Scheduler& scheduler, const Job& job, int64_t position, int64_t size) {
  scheduler.Add(job);
  scheduler.Start(job.id, position, size);
}

std::map<JobId, int64_t> Planned(const Scheduler& scheduler, const StepCost& cost) {
  std::map<JobId, int64_t> planned;
  for (const Scheduler::Item& item : scheduler.Plan(cost).items) planned[item.id] += item.tokens;
  return planned;
}

TEST(Scheduler, APromptAloneIsReadInTheLargestPieces) {
  Scheduler scheduler({.prompt_seconds = 10});
  Start(scheduler, {.id = 1}, 0, 1000);
  EXPECT_EQ(Planned(scheduler, StepCost())[1], 128);  // nothing is known yet
  EXPECT_EQ(Planned(scheduler, Learned())[1], 512);
  scheduler.Advance(1, 900, 1000);
  EXPECT_EQ(Planned(scheduler, Learned())[1], 100);
}

TEST(Scheduler, AStepWithoutAnswersIsShortAllTheSame) {
  Scheduler scheduler({.prompt_seconds = 0.11});
  Start(scheduler, {.id = 1}, 0, 1000);
  EXPECT_NEAR(Planned(scheduler, Learned())[1], 100, 2);
  // Deep in a long prompt a token takes longer: 2 ms.
  scheduler.Advance(1, 100'000, 101'000);
  EXPECT_NEAR(Planned(scheduler, Learned())[1], 50, 2);
}

TEST(Scheduler, APromptNeverStallsAnswers) {
  Scheduler scheduler({.slowdown = 2.5});
  Start(scheduler, {.id = 1}, 100, 101);
  Start(scheduler, {.id = 2}, 100, 101);
  Start(scheduler, {.id = 3, .by_layers = false}, 0, 32'000);
  auto planned = Planned(scheduler, Learned());
  EXPECT_EQ(planned[1], 1);
  EXPECT_EQ(planned[2], 1);
  // 12 ms become 30.
  EXPECT_NEAR(planned[3], 18, 1);
}

TEST(Scheduler, BesideAnswersALongPromptIsReadByLayers) {
  Scheduler scheduler({.slowdown = 2.5});
  Start(scheduler, {.id = 1}, 100, 101);
  Start(scheduler, {.id = 2}, 100, 101);
  Start(scheduler, {.id = 3}, 0, 32'000);
  Scheduler::StepPlan plan = scheduler.Plan(Learned());
  EXPECT_EQ(plan.items.size(), 2U);
  ASSERT_EQ(plan.layered.size(), 1U);
  EXPECT_EQ(plan.layered[0].id, 3);
  EXPECT_EQ(plan.layered[0].tokens, 512);
  EXPECT_NEAR(plan.layered[0].seconds, 0.018, 1e-3);  // of 30 ms, answers take 12
  // Its last token gives logits, and is read with the answers.
  scheduler.Advance(3, 31'900, 32'000);
  EXPECT_EQ(scheduler.Plan(Learned()).layered.at(0).tokens, 99);
  // So few are read at once.
  scheduler.Advance(3, 31'980, 32'000);
  plan = scheduler.Plan(Learned());
  EXPECT_TRUE(plan.layered.empty());
  EXPECT_EQ(plan.items.size(), 3U);
}

TEST(Scheduler, WhoIsBetweenTwoLayersGoesOn) {
  Scheduler scheduler({.slowdown = 2.5, .prompt_seconds = 0.5});
  Start(scheduler, {.id = 1}, 100, 101);
  Start(scheduler, {.id = 2}, 0, 32'000);
  Start(scheduler, {.id = 3}, 0, 300);
  Start(scheduler, {.id = 4, .key = "other"}, 0, 300);
  // A short prompt beside it has most of the time of their key. A third is read by rows.
  Scheduler::StepPlan plan = scheduler.Plan(Learned(), {2, 3});
  ASSERT_EQ(plan.items.size(), 2U);
  EXPECT_EQ(plan.items[1].id, 4);
  ASSERT_EQ(plan.layered.size(), 2U);
  EXPECT_EQ(plan.layered[0].id, 3);
  EXPECT_EQ(plan.layered[1].id, 2);
  EXPECT_GT(plan.layered[0].seconds, 2 * plan.layered[1].seconds);
  EXPECT_GT(plan.layered[1].seconds, 0);
  // It ends at once when nobody waits for it.
  for (const JobId id : {1, 3, 4}) scheduler.Remove(id);
  plan = scheduler.Plan(Learned(), {2});
  EXPECT_TRUE(plan.items.empty());
  EXPECT_NEAR(plan.layered.at(0).seconds, 0.5, 1e-3);
  // Without anybody else, it would have been read at once.
  EXPECT_TRUE(scheduler.Plan(Learned()).layered.empty());
}

TEST(Scheduler, HigherPrioritiesComeBeforeWhoIsBetweenTwoLayers) {
  Scheduler scheduler({.slowdown = 2.5});
  Start(scheduler, {.id = 1}, 100, 101);
  Start(scheduler, {.id = 2}, 0, 32'000);
  Start(scheduler, {.id = 3, .priority = 1}, 0, 300);
  const Scheduler::StepPlan plan = scheduler.Plan(Learned(), {2, 3});
  EXPECT_EQ(plan.items.size(), 1U);
  ASSERT_EQ(plan.layered.size(), 1U);
  EXPECT_EQ(plan.layered[0].id, 3);
}

// Some tokens of an answer that were not sampled are no prompt, and wait for none.
TEST(Scheduler, AnAnswerReadsSomeTokensAtOnce) {
  Scheduler scheduler({.slowdown = 2.5});
  Start(scheduler, {.id = 1}, 90, 100);
  Start(scheduler, {.id = 2, .by_layers = false}, 0, 32'000);
  EXPECT_LT(Planned(scheduler, Learned())[2], 512);
  scheduler.Advance(1, 100, 105);
  EXPECT_EQ(Planned(scheduler, Learned())[1], 5);
  scheduler.Advance(1, 105, 205);
  EXPECT_EQ(Planned(scheduler, Learned())[1], 16);
  scheduler.Advance(1, 121, 205);
  EXPECT_EQ(Planned(scheduler, Learned())[1], 16);
  EXPECT_GT(Planned(scheduler, Learned())[2], 0);
}

TEST(Scheduler, KeysShareEvenlyAndWhatOneDoesNotNeedGoesToOthers) {
  Scheduler scheduler({.chunk = 300, .prompt_seconds = 10});
  Start(scheduler, {.id = 1, .key = "a"}, 0, 1000);
  Start(scheduler, {.id = 2, .key = "b"}, 0, 1000);
  Start(scheduler, {.id = 3, .key = "c"}, 0, 40);
  auto planned = Planned(scheduler, Learned());
  EXPECT_EQ(planned[3], 40);
  EXPECT_EQ(planned[1], 130);
  EXPECT_EQ(planned[2], 130);
  // Many requests of one key get no more than one of another.
  for (JobId id = 4; id < 20; ++id) Start(scheduler, {.id = id, .key = "b"}, 0, 1000);
  EXPECT_EQ(Planned(scheduler, Learned())[1], 130);
}

TEST(Scheduler, AShortPromptOvertakesButStarvesNoLongOne) {
  Scheduler scheduler({.chunk = 100, .prompt_seconds = 10});
  Start(scheduler, {.id = 1}, 0, 1000);
  Start(scheduler, {.id = 2}, 0, 200);
  auto planned = Planned(scheduler, Learned());
  EXPECT_EQ(planned[2], 75);
  EXPECT_EQ(planned[1], 25);
}

TEST(Scheduler, HigherPriorityReadsFirst) {
  Scheduler scheduler({.chunk = 100, .prompt_seconds = 10});
  Start(scheduler, {.id = 1}, 0, 1000);
  Start(scheduler, {.id = 2, .priority = 1}, 0, 80);
  auto planned = Planned(scheduler, Learned());
  EXPECT_EQ(planned[2], 80);
  EXPECT_EQ(planned[1], 20);
}

TEST(Scheduler, WhoStartsNext) {
  Scheduler scheduler({.most_running = 4});
  Start(scheduler, {.id = 1, .key = "a"}, 0, 10);
  for (JobId id = 2; id <= 4; ++id) scheduler.Add({.id = id, .key = "a"});
  scheduler.Add({.id = 5, .key = "b"});
  scheduler.Add({.id = 6, .key = "b"});
  scheduler.Add({.id = 7, .key = "a", .priority = 1});
  EXPECT_EQ(scheduler.Admissible(), (std::vector<JobId>{7, 5, 2, 6, 3, 4}));
  scheduler.Add({.id = 8});
  scheduler.Add({.id = 9});
  for (const JobId id : {7, 5, 2}) scheduler.Start(id, 0, 10);
  EXPECT_TRUE(scheduler.Admissible().empty());
  scheduler.Suspend(2);
  // It came first of those of its key.
  EXPECT_EQ(scheduler.Admissible(), (std::vector<JobId>{8, 6, 9, 2, 3, 4}));
}

TEST(Scheduler, WhoMakesRoom) {
  Scheduler scheduler({});
  EXPECT_EQ(scheduler.Victim(5, true), std::nullopt);
  Start(scheduler, {.id = 1, .priority = 1}, 0, 10);
  Start(scheduler, {.id = 2, .priority = 0}, 0, 10);
  Start(scheduler, {.id = 3, .priority = 0}, 0, 10);
  Start(scheduler, {.id = 4, .priority = 1}, 0, 10);
  EXPECT_EQ(scheduler.Victim(0, false), std::nullopt);
  EXPECT_EQ(scheduler.Victim(0, true), 3);
  EXPECT_EQ(scheduler.Victim(1, false), 3);
  scheduler.Remove(2);
  scheduler.Remove(3);
  EXPECT_EQ(scheduler.Victim(1, false), std::nullopt);
  EXPECT_EQ(scheduler.Victim(1, true), 4);
}

// A machine with random requests: what must hold in every step, and that all of them end.
class Simulation {
 public:
  explicit Simulation(uint32_t seed)
      : random_(seed),
        options_{.most_running = 1 + static_cast<int64_t>(random_() % 8), .chunk = 64},
        scheduler_(options_) {}

  void Run() {
    for (int step = 0; step < 3000; ++step) {
      if (step < 300) ComeAndGo();
      Admit();
      Step();
      if (step >= 300 && jobs_.empty()) return;
    }
    FAIL() << jobs_.size() << " jobs never end";
  }
  int layered() const { return layered_; }

 private:
  struct Simulated {
    Job job;
    bool runs = false;
    int64_t position = 0;
    int64_t size = 0;
    int64_t answer = 0;  // tokens yet to come
  };
  uint32_t Below(uint32_t bound) { return random_() % bound; }

  void ComeAndGo() {
    if (Below(3) == 0) {
      const Job job = {next_++, std::string(1, static_cast<char>('a' + Below(3))),
                       static_cast<int>(Below(2)), Below(2) == 0};
      scheduler_.Add(job);
      jobs_[job.id] = {job, false, 0, 1 + Below(Below(5) == 0 ? 500 : 20), 1 + Below(30)};
    }
    if (jobs_.empty() || Below(20) != 0) return;
    const auto any = std::next(jobs_.begin(), Below(static_cast<uint32_t>(jobs_.size())));
    open_.erase(any->first);
    if (any->second.runs && Below(2) == 0) {
      scheduler_.Suspend(any->first);
      any->second.runs = false;
      any->second.position = Below(static_cast<uint32_t>(any->second.size));
    } else {
      scheduler_.Remove(any->first);
      jobs_.erase(any);
    }
  }

  int64_t CountRunning() const {
    return std::ranges::count_if(jobs_, [](const auto& entry) { return entry.second.runs; });
  }

  void Admit() {
    const std::vector<JobId> ids = scheduler_.Admissible();
    const int64_t running = CountRunning();
    EXPECT_EQ(scheduler_.running(), running);
    EXPECT_EQ(std::ssize(ids), running < options_.most_running ? std::ssize(jobs_) - running : 0);
    for (size_t i = 1; i < ids.size(); ++i) {
      EXPECT_GE(jobs_[ids[i - 1]].job.priority, jobs_[ids[i]].job.priority);
    }
    for (const JobId id : ids) {
      if (scheduler_.running() == options_.most_running) break;
      Simulated& job = jobs_[id];
      EXPECT_FALSE(std::exchange(job.runs, true));
      scheduler_.Start(id, job.position, job.size);
    }
  }

  void Step() {
    StepWork work;
    StepWork decoding;
    int64_t prompts = 0;
    bool waiting_prompts = false;
    std::set<JobId> open;
    for (const auto& [id, item] : open_) open.insert(id);
    const Scheduler::StepPlan plan = scheduler_.Plan(cost_, open);
    std::map<JobId, int64_t> planned;
    for (const Scheduler::Item& item : plan.items) planned[item.id] += item.tokens;
    for (auto& [id, job] : jobs_) {
      const int64_t unread = job.size - job.position;
      const auto found = planned.find(id);
      if (!job.runs) {
        EXPECT_EQ(found, planned.end());
        continue;
      }
      if (unread == 1) {
        ASSERT_NE(found, planned.end()) << "an answer stalls";
        EXPECT_EQ(found->second, 1);
        decoding.Add(1, job.position);
        work.Add(1, job.position);
        continue;
      }
      waiting_prompts = true;
      if (found == planned.end()) continue;
      EXPECT_LE(found->second, unread);
      prompts += found->second;
      work.Add(found->second, job.position);
    }
    if (waiting_prompts) {
      EXPECT_GE(prompts + std::ssize(plan.layered), 1);
    }
    EXPECT_LE(prompts, options_.chunk);
    if (decoding.rows > 0 && prompts > 1 && steps_++ > 50) {
      double layered = 0;
      for (const Scheduler::LayeredItem& item : plan.layered) layered += item.seconds;
      EXPECT_LE(kMachine.Seconds(work) + layered,
                1.1 * options_.slowdown * kMachine.Seconds(decoding));
    }
    cost_.Observe(work, kMachine.Seconds(work));
    for (const auto& [id, tokens] : planned) Advance(id, tokens);
    for (const Scheduler::LayeredItem& item : plan.layered) ReadByLayers(item);
  }

  void ReadByLayers(const Scheduler::LayeredItem& item) {
    const Simulated& job = jobs_.at(item.id);
    EXPECT_TRUE(job.job.by_layers);
    if (!open_.contains(item.id)) {
      EXPECT_LT(item.tokens, job.size - job.position);
      StepWork work;
      work.Add(item.tokens, job.position);
      open_[item.id] = {item.id, item.tokens, kMachine.Seconds(work)};
      EXPECT_LE(open_.size(), 2U);
    }
    Scheduler::LayeredItem& open = open_[item.id];
    open.seconds -= std::max(item.seconds, 1e-3);  // a few rows are always read
    if (open.seconds > 0) return;
    ++layered_;
    Advance(item.id, open.tokens);
    open_.erase(item.id);
  }

  void Advance(JobId id, int64_t tokens) {
    Simulated& job = jobs_[id];
    job.position += tokens;
    if (job.position == job.size) {
      ++job.size;
      if (--job.answer == 0) {
        scheduler_.Remove(id);
        jobs_.erase(id);
        return;
      }
    }
    scheduler_.Advance(id, job.position, job.size);
  }

  std::mt19937 random_;
  SchedulerOptions options_;
  Scheduler scheduler_;
  StepCost cost_;
  std::map<JobId, Simulated> jobs_;
  JobId next_ = 1;
  std::map<JobId, Scheduler::LayeredItem> open_;  // with the time that each still takes
  int steps_ = 0;
  int layered_ = 0;
};

TEST(Scheduler, RandomLoadsKeepItsPromises) {
  int layered = 0;
  for (uint32_t seed = 0; seed < 200 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Simulation simulation(seed);
    simulation.Run();
    layered += simulation.layered();
  }
  EXPECT_GT(layered, 100);
}

}  // namespace
}  // namespace fulmen
