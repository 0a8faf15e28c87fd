// The last part of a step: chunks of prompts go through as many layers as there is time for.
#include <algorithm>
#include <utility>

#include "engine/engine_internal.h"

namespace fulmen {
namespace {

// Fewer rows are not worth reading a layer's weights for.
constexpr int64_t kFewestRows = 16;

}  // namespace

void Engine::ReadByLayers(const Scheduler::LayeredItem& item) {
  double left = item.seconds;
  if (!layered_.contains(item.id)) {
    const double start = Now();
    if (!BeginLayered(item)) return;
    left -= Now() - start;
    if (left < 0) return;  // the layers' turn comes with the next step
  }
  Layered& layered = layered_.at(item.id);
  const LayeredForward& pass = *layered.pass;
  Status status;
  bool begun = false;
  for (; status && !pass.done(); begun = true) {
    const int64_t fewest = std::min(kFewestRows, pass.rows_left());
    const int64_t rows = RowsIn(layered, left);
    if (begun && rows < fewest) break;
    left -= RunLayer(layered, std::max(rows, fewest), status);
  }
  if (status && !pass.done()) return;
  auto done = layered_.extract(item.id);
  Batch& batch = done.mapped().batch;
  ++counts_.layered_chunks;
  counts_.read_tokens += batch.work.rows;
  batch.statuses = {status};
  Postprocess(batch);
}

bool Engine::BeginLayered(const Scheduler::LayeredItem& item) {
  // It may have made room for others since this was planned.
  const auto found = answers_.find(item.id);
  if (found == answers_.end() || !found->second->state) return false;
  Answer& answer = *found->second;
  if (!MakeRoomToGrow(answer, item.tokens)) return false;
  Layered& layered = layered_[item.id];
  Batch& batch = layered.batch;
  batch.members.push_back({.answer = &answer, .tokens = item.tokens, .wants_logits = false});
  batch.work.Add(item.tokens, answer.sequence.position());
  // This before snapshots: it gets the memory of the chunk before, and they are filled while layers
  // pass by. To touch fresh memory takes some machines longer than all else in a step.
  if (options_.keep) {
    if (Result<SequenceState> before = answer.state->Fork()) layered.before = *std::move(before);
  }
  AddSnapshots(batch, 0);
  std::vector<SequenceState*> forks;
  for (Batch::Snapshot& snapshot : batch.snapshots) forks.push_back(&snapshot.state);
  const auto unread = std::span(answer.sequence.tokens())
                          .subspan(static_cast<size_t>(answer.sequence.position()),
                                   static_cast<size_t>(item.tokens));
  layered.memory = LayeredMemory();
  layered.pass.emplace(model_, compute_, unread, *answer.state, forks, *layered.memory);
  return true;
}

std::shared_ptr<Workspace> Engine::LayeredMemory() {
  for (const std::shared_ptr<Workspace>& memory : layered_memory_) {
    if (memory.use_count() == 1) return memory;
  }
  return layered_memory_.emplace_back(
      std::make_shared<Workspace>(/*poison=*/false, compute_.context.scratch.memory()));
}

// The next rows of the layer under way. Returns the seconds it took.
double Engine::RunLayer(Layered& layered, int64_t rows, Status& status) {
  StepCost& cost = layer_costs_[static_cast<size_t>(layered.pass->kind())];
  const StepWork work = layered.Work(rows);
  const double start = Now();
  status = layered.pass->Run(rows);
  const double seconds = Now() - start;
  cost.Observe(work, seconds);
  return seconds;
}

// How many of the next rows are predicted to take no longer.
int64_t Engine::RowsIn(const Layered& layered, double seconds) const {
  const StepCost& cost = layer_costs_[static_cast<size_t>(layered.pass->kind())];
  const auto fits = [&](int64_t rows) {
    if (cost.known()) return cost.Near(rows).Seconds(layered.Work(rows)) <= seconds;
    // All layers alike, as long as none was timed by itself.
    const auto layers = static_cast<double>(model_.config.layer_count());
    return cost_.Near(rows).Seconds(layered.Work(rows)) <= layers * seconds;
  };
  int64_t low = 0;
  int64_t high = layered.pass->rows_left();
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (fits(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

// Which tokens it has read, or will have before anything else happens to it.
int64_t Engine::ReadsTo(const Answer& answer) const {
  const auto layered = layered_.find(answer.id);
  return answer.sequence.position() +
         (layered == layered_.end() ? 0 : layered->second.batch.work.rows);
}

}  // namespace fulmen
