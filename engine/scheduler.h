// Decides which sequences run and how many tokens of each the next step reads. It knows lengths,
// who asked and how long steps take, and never touches a tensor, so it is tested alone.
//
// Every running sequence that has one token to read, the one sampled last, is decoding and reads it
// in every step; so is one that has read its prompt, and reads some tokens of its answer at once
// that were not sampled. The others are prompts: what they may read beside the decoding ones is
// bounded by the time the step is predicted to take, so that a long prompt never stalls the answers
// under way, and is shared among them. Beside decoding ones that time is short, and would be spent
// on few rows of all layers; so prompts are read by layers, many rows of a few at a time
// (model/layered_forward.h).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/step_cost.h"

namespace fulmen {

using JobId = int64_t;

struct SchedulerOptions {
  int64_t most_running = 64;
  int64_t chunk = 512;  // tokens of prompts in a step at most, where products are at their best
  // A step may take this many times as long as one that only decodes. 1 would leave prompts no
  // time; what streams feel is this factor.
  double slowdown = 2.1;
  // Where nothing decodes: how long a step should take at most, so that who comes or leaves is
  // heard soon. Steps of models that need as long for a single token may take more.
  double prompt_seconds = 0.5;
};

struct Job {
  JobId id = 0;
  std::string key = {};   // whose share it uses
  int priority = 0;       // higher goes first
  bool by_layers = true;  // whether its prompt may be read so
};

// Not thread safe.
class Scheduler {
 public:
  explicit Scheduler(SchedulerOptions options) : options_(options) {}

  // A new job waits. Its number orders those that are alike: lower came first.
  void Add(const Job& job);
  // It ends, waiting or running.
  void Remove(JobId id);
  int64_t waiting() const { return std::ssize(waiting_); }
  int64_t running() const { return std::ssize(running_); }

  // Who should start next, in order: highest priority, then the key with the fewest running, then
  // who came first. Empty while as many run as may.
  std::vector<JobId> Admissible() const;
  // It runs from now on, having read `position` of `size` tokens.
  void Start(JobId id, int64_t position, int64_t size);
  // Back to waiting, for want of memory.
  void Suspend(JobId id);
  // Who should make room for a job of this priority: of the running ones with a lower priority, or
  // at most the same where `equals`, the lowest and of these the one that came last.
  std::optional<JobId> Victim(int priority, bool equals) const;

  struct Item {
    JobId id;
    int64_t tokens;
  };
  // A prompt's next tokens that go through the layers in as many steps as it takes.
  struct LayeredItem {
    JobId id;
    int64_t tokens;
    double seconds;  // that the step has for it
  };
  struct StepPlan {
    std::vector<Item> items;
    std::vector<LayeredItem> layered;
  };
  // What the next step reads: the unread token of each decoding job, or a few of them, then
  // prompts, at least one token of one of them. `open`: who is between two layers.
  StepPlan Plan(const StepCost& cost, const std::set<JobId>& open = {}) const;
  // It has read up to `position` of `size` tokens.
  void Advance(JobId id, int64_t position, int64_t size);

 private:
  struct Running {
    Job job;
    int64_t position;
    int64_t size;
    bool answers = false;  // its prompt is read
    int64_t unread() const { return size - position; }
    bool decodes() const { return answers || unread() == 1; }
  };

  // Prompts of one priority by key, the highest priority first.
  using Prompts = std::map<int, std::map<std::string, std::vector<const Running*>>, std::greater<>>;
  // Shares `tokens` out: to the higher priorities first, evenly among the keys of one.
  static std::vector<Item> Share(int64_t tokens, const Prompts& prompts);
  // Whether a prompt that has time for `item` should begin to be read by layers.
  bool WorthLayers(const Item& item) const;
  int64_t ChunkOf(const Running& running) const;

  SchedulerOptions options_;
  std::map<JobId, Job> waiting_;
  std::map<JobId, Running> running_;
};

}  // namespace fulmen
