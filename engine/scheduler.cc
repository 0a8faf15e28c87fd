#include "engine/scheduler.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/check.h"

namespace fulmen {
namespace {

constexpr int64_t kMostAnswered = 16;  // of an answer at once
constexpr int64_t kFirstChunk = 128;   // while no step has been timed
// Where nothing decodes, a step may take this many times what reading the weights alone does.
constexpr double kOverFixed = 4;
// A chunk is read by layers where it has this many times the rows that a step has time for; so are
// so many at once, say a long one and a short one that came later, since each takes a few rows of a
// layer at least.
constexpr int64_t kWorthLayers = 2;
constexpr int64_t kMostLayered = 2;
// The part of a key's time that its shortest prompt gets while others wait beside it: short ones
// are done soon, and no long one starves.
constexpr double kShortestShare = 0.75;

// Shares `tokens` out among the unread ones of one key's prompts.
template <class Prompt>
void ShareInKey(int64_t tokens, std::vector<const Prompt*> prompts,
                std::vector<Scheduler::Item>& items) {
  const auto shortest =
      std::ranges::min_element(prompts, {}, [](const Prompt* prompt) { return prompt->unread(); });
  std::rotate(prompts.begin(), shortest, shortest + 1);
  std::vector<int64_t> parts(prompts.size(), 0);
  const auto give = [&](size_t i, int64_t most) {
    const int64_t more = std::min(most, prompts[i]->unread() - parts[i]);
    parts[i] += more;
    tokens -= more;
  };
  if (prompts.size() > 1) {
    give(0, static_cast<int64_t>(kShortestShare * static_cast<double>(tokens)));
    for (size_t i = 1; i < prompts.size(); ++i) give(i, tokens);
  }
  give(0, tokens);
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (parts[i] > 0) items.push_back({prompts[i]->job.id, parts[i]});
  }
}

}  // namespace

void Scheduler::Add(const Job& job) {
  FULMEN_CHECK(waiting_.emplace(job.id, job).second && !running_.contains(job.id),
               "job {} is there already", job.id);
}

void Scheduler::Remove(JobId id) {
  FULMEN_CHECK(waiting_.erase(id) + running_.erase(id) == 1, "there is no job {}", id);
}

std::vector<JobId> Scheduler::Admissible() const {
  if (running() >= options_.most_running) return {};
  std::map<std::string, int64_t> running_of;
  for (const auto& [id, running] : running_) ++running_of[running.job.key];
  // The second job of a key comes after the first of all others that have as many running.
  std::map<std::pair<int, std::string>, int64_t> ahead;
  std::vector<std::tuple<int, int64_t, JobId>> order;
  for (const auto& [id, job] : waiting_) {
    const int64_t before = running_of[job.key] + ahead[{job.priority, job.key}]++;
    order.emplace_back(-job.priority, before, id);
  }
  std::ranges::sort(order);
  std::vector<JobId> ids;
  ids.reserve(order.size());
  for (const auto& entry : order) ids.push_back(std::get<2>(entry));
  return ids;
}

void Scheduler::Start(JobId id, int64_t position, int64_t size) {
  const auto found = waiting_.find(id);
  FULMEN_CHECK(found != waiting_.end(), "job {} does not wait", id);
  running_.emplace(id, Running{found->second, position, size});
  waiting_.erase(found);
}

void Scheduler::Suspend(JobId id) {
  const auto found = running_.find(id);
  FULMEN_CHECK(found != running_.end(), "job {} does not run", id);
  waiting_.emplace(id, found->second.job);
  running_.erase(found);
}

std::optional<JobId> Scheduler::Victim(int priority, bool equals) const {
  std::optional<std::pair<int, JobId>> victim;
  for (const auto& [id, running] : running_) {
    const std::pair<int, JobId> candidate = {running.job.priority, -id};
    if (running.job.priority > priority || (running.job.priority == priority && !equals)) continue;
    if (!victim || candidate < *victim) victim = candidate;
  }
  if (!victim) return std::nullopt;
  return -victim->second;
}

void Scheduler::Advance(JobId id, int64_t position, int64_t size) {
  const auto found = running_.find(id);
  FULMEN_CHECK(found != running_.end(), "job {} does not run", id);
  found->second.answers = found->second.answers || position == found->second.size;
  found->second.position = position;
  found->second.size = size;
}

Scheduler::StepPlan Scheduler::Plan(const StepCost& cost, const std::set<JobId>& open) const {
  StepPlan plan;
  StepWork decoding;
  Prompts prompts;
  for (const auto& [id, running] : running_) {
    if (running.decodes()) {
      const int64_t tokens = std::min(running.unread(), kMostAnswered);
      plan.items.push_back({id, tokens});
      decoding.Add(tokens, running.position);
    } else {
      prompts[running.job.priority][running.job.key].push_back(&running);
    }
  }
  if (prompts.empty()) return plan;
  const double alone = cost.Near(decoding.rows).Seconds(decoding);
  const auto seconds_left = [&](const std::vector<Item>& items) {
    StepWork work = decoding;
    for (const Item& item : items) work.Add(item.tokens, running_.at(item.id).position);
    const StepRates rates = cost.Near(work.rows);
    const double target = decoding.rows > 0
                              ? options_.slowdown * alone
                              : std::max(options_.prompt_seconds, kOverFixed * rates.fixed);
    return target - (work.rows > 0 ? rates.Seconds(work) : 0);
  };
  // Rates hold near a number of rows, so the largest number that fits is searched for.
  int64_t low = 1;
  int64_t high = cost.known() ? options_.chunk : std::min(options_.chunk, kFirstChunk);
  if (!cost.known()) low = high;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (seconds_left(Share(middle, prompts)) >= 0) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  std::vector<Item> others;
  int64_t layered = 0;
  int64_t may_begin = decoding.rows > 0 && cost.known() ? kMostLayered - std::ssize(open) : 0;
  for (const Item& item : Share(low, prompts)) {
    const bool is_open = open.contains(item.id);
    if (!is_open && (may_begin <= 0 || !WorthLayers(item))) {
      others.push_back(item);
      continue;
    }
    if (!is_open) --may_begin;
    layered += item.tokens;
    plan.layered.push_back(
        {item.id, ChunkOf(running_.at(item.id)), static_cast<double>(item.tokens)});
  }
  const double seconds = plan.layered.empty() ? 0 : seconds_left(others);
  for (LayeredItem& item : plan.layered) item.seconds *= seconds / static_cast<double>(layered);
  plan.items.insert(plan.items.end(), others.begin(), others.end());
  return plan;
}

bool Scheduler::WorthLayers(const Item& item) const {
  const Running& running = running_.at(item.id);
  return running.job.by_layers && ChunkOf(running) >= kWorthLayers * item.tokens;
}

// The last token of a prompt gives logits, and is read with those of answers.
int64_t Scheduler::ChunkOf(const Running& running) const {
  return std::min(options_.chunk, running.unread() - 1);
}

std::vector<Scheduler::Item> Scheduler::Share(int64_t tokens, const Prompts& prompts) {
  std::vector<Item> items;
  for (const auto& [priority, keys] : prompts) {
    // Who needs less than an even part leaves the rest to the others.
    std::vector<std::pair<int64_t, const std::vector<const Running*>*>> needs;
    for (const auto& [key, jobs] : keys) {
      int64_t need = 0;
      for (const Running* job : jobs) need += job->unread();
      needs.emplace_back(need, &jobs);
    }
    std::ranges::stable_sort(needs, {}, [](const auto& entry) { return entry.first; });
    auto left = std::ssize(needs);
    for (const auto& [need, jobs] : needs) {
      const int64_t part = std::min(need, (tokens + left - 1) / left);
      ShareInKey(part, *jobs, items);
      tokens -= part;
      --left;
    }
  }
  return items;
}

}  // namespace fulmen
