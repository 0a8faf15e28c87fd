// The engine's first call of a step: who comes, who goes, who starts, and with what memory.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/engine_internal.h"
#include "engine/strides.h"

namespace fulmen {
namespace {

// Of what another sequence is reading just now, so much is worth waiting for.
constexpr int64_t kWorthWaitingFor = 64;
// The cache refuses a snapshot that is closer behind another.
constexpr int64_t kApart = PrefixCache::Options().fewest_saved_tokens;

int64_t CommonPrefix(std::span<const PrefixKey> a, std::span<const PrefixKey> b) {
  return std::ranges::mismatch(a, b).in1 - a.begin();
}

}  // namespace

void Engine::TakeInbox() {
  std::vector<std::unique_ptr<Answer>> arrived;
  std::vector<RequestId> cancelled;
  std::vector<std::pair<RequestId, int64_t>> allowed;
  {
    const std::lock_guard lock(mutex_);
    arrived.swap(inbox_);
    cancelled.swap(cancelled_);
    allowed.swap(allowed_);
  }
  for (std::unique_ptr<Answer>& answer : arrived) {
    answer->id = next_job_++;
    if (answer->choice == 0) counts_.prompt_tokens += answer->sequence.prompt_size();
    if (answer->grammar) answer->sequence.Constrain(grammars_->Begin(answer->grammar));
    scheduler_.Add({.id = answer->id,
                    .key = answer->key,
                    .priority = answer->priority,
                    .by_layers = answer->ticket->images.empty()});
    answers_.emplace(answer->id, std::move(answer));
  }
  for (const RequestId id : cancelled) FinishAll(id, FinishReason::kCancelled);
  if (!allowed.empty()) TakeAllowances(allowed);
}

void Engine::TakeAllowances(const std::vector<std::pair<RequestId, int64_t>>& allowed) {
  for (const auto& [request, tokens] : allowed) {
    for (const auto& [job, answer] : answers_) {
      if (answer->ticket->id != request || !answer->ticket->allowance) continue;
      Allowance& allowance = *answer->ticket->allowance;
      allowance.left += tokens;
      allowance.given = allowance.left;
      allowance.all += tokens;
      allowance.told = false;
      allowance.is_last = tokens == 0;
      break;  // its other answers have the same ticket
    }
  }
}

void Engine::EndDue() {
  const double now = Now();
  std::vector<std::pair<RequestId, FinishReason>> due;
  for (const auto& [id, answer] : answers_) {
    const Ticket& ticket = *answer->ticket;
    const bool used_up =
        ticket.allowance && ticket.allowance->is_last && ticket.allowance->left == 0;
    if (ticket.deadline <= now) due.emplace_back(ticket.id, FinishReason::kDeadline);
    if (used_up) due.emplace_back(ticket.id, FinishReason::kAllowance);
  }
  for (const auto& [id, reason] : due) FinishAll(id, reason);
}

void Engine::FinishAll(RequestId id, FinishReason reason) {
  std::vector<Answer*> ending;
  for (const auto& [job, answer] : answers_) {
    if (answer->ticket->id == id) ending.push_back(answer.get());
  }
  for (Answer* answer : ending) Finish(*answer, reason);
}

void Engine::Admit() {
  short_of_room_ = false;
  for (const JobId id : scheduler_.Admissible()) {
    if (scheduler_.running() >= options_.scheduler.most_running) return;
    Answer& answer = *answers_.at(id);
    if (Start(answer) != Admission::kNoRoom) continue;
    short_of_room_ = true;
    if (scheduler_.running() > 0) return;  // nor for those behind, or it would never start
    if (spill_ && spill_->busy()) return;  // the disk will let go of memory
    answer.ticket->status = Fail(ErrorCode::kNoRoom, "memory has no room for {} tokens",
                                 answer.sequence.tokens().size());
    Finish(answer, FinishReason::kError);
  }
}

Engine::Admission Engine::Start(Answer& answer) {
  const Sequence& sequence = answer.sequence;
  const int64_t size = std::ssize(sequence.tokens());
  const auto find = [&] { return cache_.Find(answer.ticket->space, sequence.keys(), size - 1); };
  if (answer.behind && WaitsStill(answer)) return Admission::kLater;
  PrefixMatch match = find();
  if (WaitsForAnother(answer, match.position)) return Admission::kLater;
  if (WaitsForDisk(answer, match)) return Admission::kLater;
  std::optional<SequenceState> state;
  while (!state) {
    Result<SequenceState> taken = match.state != nullptr ? match.state->Fork() : pool_.Create();
    if (taken && taken->Reserve(size - taken->position())) {
      state = *std::move(taken);
      break;
    }
    taken = tl::unexpected(Error());  // gives back what it took
    const int64_t pages = pool_.PagesOf(size) - match.position / StatePool::kPageTokens;
    if (cache_.MakeRoom(1, pages, match.state)) continue;
    if (match.state != nullptr && !match.pinned &&
        cache_.MakeRoom(0, match.state->PagesFor(size - match.position), match.state)) {
      // There is room for the snapshot itself to go on, if not for a fork beside it.
      state = cache_.Take(answer.ticket->space,
                          sequence.keys().first(static_cast<size_t>(match.position)));
      FULMEN_CHECK(state->Reserve(size - match.position), "room was made");
    } else if (SuspendFor(answer)) {
      match = find();
    } else {
      return Admission::kNoRoom;
    }
  }
  Ticket& ticket = *answer.ticket;
  if (!answer.started) {
    ++counts_.misses[static_cast<size_t>(match.cause)];
    if (!ticket.admitted) {
      ticket.admitted = Now();
      ticket.usage.cached_tokens = match.position;
      ticket.usage.read_tokens = match.position;
      counts_.cached_tokens += match.position;
      answer.Tell(PromptProgress{match.position, sequence.prompt_size(), match.position});
    }
    answer.started = true;
  }
  answer.kept = match.position;
  answer.sequence.SetPosition(match.position);
  answer.state = std::move(state);
  PlanCuts(answer, match);
  scheduler_.Start(answer.id, match.position, size);
  return Admission::kStarted;
}

// Whether what it begins with is coming from the disk, which is tried once.
bool Engine::WaitsForDisk(Answer& answer, const PrefixMatch& match) {
  if (!spill_) return false;
  if (!answer.asked_disk) {
    answer.asked_disk = true;
    answer.loading = spill_->StartLoad(answer.ticket->space, answer.sequence.keys(),
                                       std::ssize(answer.sequence.tokens()) - 1, match);
  }
  return answer.loading && spill_->IsLoading(*answer.loading);
}

bool Engine::WaitsStill(Answer& answer) {
  const auto other = answers_.find(answer.behind->id);
  if (other != answers_.end() && other->second->state &&
      other->second->sequence.position() < answer.behind->position) {
    return true;
  }
  answer.behind.reset();
  return false;
}

// Two that begin alike and come together are read once: the second waits for the first to pass the
// point where they part.
bool Engine::WaitsForAnother(Answer& answer, int64_t position) {
  if (!options_.keep) return false;
  const auto most = std::ssize(answer.sequence.tokens()) - 1;
  for (const auto& [id, other] : answers_) {
    if (!other->state || other->ticket->space != answer.ticket->space) continue;
    const int64_t reading = other->sequence.prompt_size() - 1;
    const int64_t reads_to = ReadsTo(*other);
    if (reads_to >= reading) continue;
    const int64_t common =
        std::min({CommonPrefix(answer.sequence.keys(), other->sequence.keys()), most, reading});
    if (common < position + kWorthWaitingFor || common <= reads_to) continue;
    AddCut(*other, {common, SnapshotKind::kBranch});
    answer.behind = {id, common};
    return true;
  }
  return false;
}

void Engine::AddCut(Answer& answer, Cut cut) {
  const auto at = std::ranges::lower_bound(answer.cuts, cut.position, {}, &Cut::position);
  if (at != answer.cuts.end() && at->position == cut.position) {
    at->kind = std::max(at->kind, cut.kind);
  } else {
    answer.cuts.insert(at, cut);
  }
}

void Engine::PlanCuts(Answer& answer, const PrefixMatch& match) const {
  answer.cuts.clear();
  if (!options_.keep) return;
  const int64_t end = answer.sequence.prompt_size() - 1;
  const auto ahead = [&](int64_t position) { return position > match.position && position < end; };
  if (end > match.position) AddCut(answer, {end, SnapshotKind::kEnd});
  if (ahead(match.known)) AddCut(answer, {match.known, SnapshotKind::kBranch});
  for (const int64_t border : answer.ticket->borders) {
    if (ahead(border)) AddCut(answer, {border, SnapshotKind::kBorder});
  }
  for (int64_t at = NextStride(match.position); at < end; at = NextStride(at)) {
    AddCut(answer, {at, SnapshotKind::kStride});
  }
  // Of two that are close to each other the later one saves more; but what stands before the first
  // border, say a system text, is what most requests will share.
  const int64_t first_border = answer.ticket->borders.empty() ? -1 : answer.ticket->borders.front();
  for (size_t i = answer.cuts.size(); i-- > 1;) {
    const Cut& later = answer.cuts[i];
    const Cut& cut = answer.cuts[i - 1];
    if (later.position - cut.position < kApart && cut.kind <= later.kind &&
        cut.position != first_border) {
      answer.cuts.erase(answer.cuts.begin() + static_cast<int64_t>(i) - 1);
    }
  }
}

bool Engine::MakeRoomToGrow(Answer& answer, int64_t tokens) {
  while (!answer.state->Reserve(tokens)) {
    if (cache_.MakeRoom(0, answer.state->PagesFor(tokens))) continue;
    // The lowest and latest goes, which may be this one.
    const std::optional<JobId> victim = scheduler_.Victim(answer.priority, /*equals=*/true);
    Answer& gone = *answers_.at(*victim);
    Suspend(gone);
    if (&gone == &answer) return false;
  }
  return true;
}

bool Engine::SuspendFor(const Answer& answer) {
  const std::optional<JobId> victim = scheduler_.Victim(answer.priority, /*equals=*/false);
  if (!victim) return false;
  Suspend(*answers_.at(*victim));
  return true;
}

void Engine::Suspend(Answer& answer) {
  ++counts_.suspensions;
  scheduler_.Suspend(answer.id);
  Keep(answer);
}

}  // namespace fulmen
