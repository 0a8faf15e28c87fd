// The engine's second and third call of a step: run what was scheduled, and make tokens and events
// of what came out.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "engine/engine_internal.h"

namespace fulmen {

Engine::Batch Engine::MakeBatch(const std::vector<Scheduler::Item>& items) {
  Batch batch;
  for (const Scheduler::Item& item : items) {
    auto& allowance = answers_.at(item.id)->ticket->allowance;
    if (allowance) allowance->planned = 0;
  }
  for (const Scheduler::Item& item : items) {
    Answer& answer = *answers_.at(item.id);
    // Another may have been suspended to make room for those before it.
    const int64_t tokens = Readable(answer, item.tokens);
    if (tokens == 0 || !answer.state) continue;
    const bool samples = tokens == answer.sequence.unread();
    auto& allowance = answer.ticket->allowance;
    if (samples && allowance && !allowance->MayPlan()) {
      ++batch.waiting;
      continue;
    }
    if (!MakeRoomToGrow(answer, tokens)) continue;
    if (samples && allowance) ++allowance->planned;
    batch.members.push_back({&answer, tokens, samples});
  }
  // Who made room for a later one is not in the batch any more.
  std::erase_if(batch.members, [](const Member& member) { return !member.answer->state; });
  for (size_t i = 0; i < batch.members.size(); ++i) {
    const Member& member = batch.members[i];
    batch.work.Add(member.tokens, member.answer->sequence.position());
    AddSnapshots(batch, i);
  }
  return batch;
}

void Engine::AddSnapshots(Batch& batch, size_t index) {
  Answer& answer = *batch.members[index].answer;
  const int64_t end = answer.sequence.position() + batch.members[index].tokens;
  size_t passed = 0;
  for (; passed < answer.cuts.size() && answer.cuts[passed].position <= end; ++passed) {
    const Cut& cut = answer.cuts[passed];
    const auto keys = answer.sequence.keys().first(static_cast<size_t>(cut.position));
    if (!cache_.MakeRoomForSnapshot(answer.ticket->space, keys, cut.kind,
                                    cut.position - answer.kept)) {
      continue;
    }
    Result<SequenceState> fork = answer.state->ForkAt(cut.position);
    if (!fork) continue;
    answer.kept = cut.position;
    batch.snapshots.push_back({index, cut.kind, *std::move(fork)});
  }
  answer.cuts.erase(answer.cuts.begin(), answer.cuts.begin() + static_cast<int64_t>(passed));
}

void Engine::RunBatch(Batch& batch) {
  ForwardBatch forward;
  for (const Member& member : batch.members) {
    const Sequence& sequence = member.answer->sequence;
    const auto unread =
        std::span(sequence.tokens()).subspan(static_cast<size_t>(sequence.position()));
    AddImages(member, std::ssize(forward.tokens), forward);
    forward.Add(unread.first(static_cast<size_t>(member.tokens)), *member.answer->state,
                member.wants_logits ? 1 : 0);
  }
  for (Batch::Snapshot& snapshot : batch.snapshots) {
    forward.snapshots.push_back({static_cast<int64_t>(snapshot.member), &snapshot.state});
  }
  const int64_t rows = std::ssize(forward.logit_rows);
  logits_.resize(std::max(logits_.size(), static_cast<size_t>(rows * limits_.vocab_size)));
  const double start = Now();
  batch.statuses =
      Forward(model_, compute_, forward, Matrix(logits_.data(), rows, limits_.vocab_size));
  cost_.Observe(batch.work, Now() - start);
  ++counts_.steps;
  counts_.read_tokens += batch.work.rows;
}

void Engine::Postprocess(Batch& batch) {
  std::vector<size_t> sampling;  // members whose next token is due, in the order of their logits
  for (size_t i = 0; i < batch.members.size(); ++i) {
    Answer& answer = *batch.members[i].answer;
    answer.sequence.Read(batch.members[i].tokens);
    ReleaseImages(*answer.ticket);
    Usage& usage = answer.ticket->usage;
    usage.read_tokens = std::max(
        usage.read_tokens, std::min(answer.sequence.position(), answer.sequence.prompt_size()));
    if (batch.members[i].wants_logits) sampling.push_back(i);
  }
  KeepSnapshots(batch);
  std::vector<Sequence::Sampled> sampled = Sample(batch, sampling);
  size_t next = 0;
  for (size_t i = 0; i < batch.members.size(); ++i) {
    Answer& answer = *batch.members[i].answer;
    const bool due = batch.members[i].wants_logits;
    Sequence::Sampled token = due ? std::move(sampled[next++]) : Sequence::Sampled();
    if (!batch.statuses[i]) {
      answer.ticket->status = batch.statuses[i];
      answer.state.reset();  // it holds numbers that are none
      Finish(answer, FinishReason::kError);
      continue;
    }
    if (answer.choice == 0 && answer.sequence.position() <= answer.sequence.prompt_size()) {
      answer.Tell(PromptProgress{answer.sequence.position(), answer.sequence.prompt_size(),
                                 answer.ticket->usage.cached_tokens});
    }
    if (due) {
      Deliver(answer, std::move(token));
    } else {
      scheduler_.Advance(answer.id, answer.sequence.position(),
                         std::ssize(answer.sequence.tokens()));
    }
  }
}

std::vector<Sequence::Sampled> Engine::Sample(Batch& batch, std::span<const size_t> members) {
  const auto logits = [&](size_t i) {
    const auto vocab = static_cast<size_t>(limits_.vocab_size);
    return std::span(logits_).subspan(i * vocab, vocab);
  };
  if (options_.on_logits) {
    for (size_t i = 0; i < members.size(); ++i) {
      const Answer& answer = *batch.members[members[i]].answer;
      if (batch.statuses[members[i]]) {
        options_.on_logits(answer.ticket->id, answer.choice, logits(i));
      }
    }
  }
  for (const size_t member : members) {
    Status& status = batch.statuses[member];
    if (status) status = batch.members[member].answer->sequence.PrepareToSample();
  }
  std::vector<Sequence::Sampled> sampled(members.size());
  compute_.context.pool.ParallelFor(std::ssize(sampled), [&](int64_t task, int) {
    const auto i = static_cast<size_t>(task);
    if (!batch.statuses[members[i]]) return;
    sampled[i] = batch.members[members[i]].answer->sequence.Sample(logits(i));
  });
  return sampled;
}

void Engine::KeepSnapshots(Batch& batch) {
  for (Batch::Snapshot& snapshot : batch.snapshots) {
    if (!batch.statuses[snapshot.member]) continue;
    const Answer& answer = *batch.members[snapshot.member].answer;
    Insert(answer, std::move(snapshot.state), snapshot.kind);
  }
}

// Into the cache, and what is likely asked for again to the disk as well: all but most strides,
// each of which is a whole state.
void Engine::Insert(const Answer& answer, SequenceState state, SnapshotKind kind) {
  constexpr int64_t kSpilledStride = 1024;
  const int64_t position = state.position();
  const auto keys = answer.sequence.keys().first(static_cast<size_t>(position));
  cache_.Insert(answer.ticket->space, keys, std::move(state), kind);
  if (!spill_ || (kind == SnapshotKind::kStride && position % kSpilledStride != 0)) return;
  spill_->Offer(answer.ticket->space, keys);
}

void Engine::Deliver(Answer& answer, Sequence::Sampled token) {
  Ticket& ticket = *answer.ticket;
  const double now = Now();
  if (!ticket.first_token) ticket.first_token = now;
  ticket.last_token = now;
  if (ticket.allowance) --ticket.allowance->planned;
  Pieces pieces = Take(answer, std::move(token));
  while (const auto forced = answer.sequence.NextForced()) {
    if (ticket.allowance && !ticket.allowance->MayPlan()) break;
    Emit(answer, pieces);
    pieces = Take(answer, {.id = *forced, .logprobs = {}});
  }
  if (answer.sequence.finished()) {
    if (!answer.sequence.status()) ticket.status = answer.sequence.status();
    return End(answer, pieces);
  }
  Emit(answer, pieces);
  scheduler_.Advance(answer.id, answer.sequence.position(), std::ssize(answer.sequence.tokens()));
}

Engine::Pieces Engine::Take(Answer& answer, Sequence::Sampled token) {
  const size_t before = answer.sequence.tokens().size();
  Pieces pieces = answer.sequence.Take(token.id);
  if (answer.sequence.tokens().size() == before) return pieces;
  ++answer.ticket->usage.output_tokens;
  ++counts_.output_tokens;
  TokenSampled event = {.choice = answer.choice, .id = token.id};
  if (token.logprobs) {
    event.logprob = token.logprobs->own;
    event.top = std::move(token.logprobs->top);
  }
  answer.Tell(event);
  if (auto& allowance = answer.ticket->allowance) {
    --allowance->left;
    if (!allowance->told && 2 * allowance->left <= allowance->given) {
      allowance->told = true;
      answer.Tell(AllowanceLow{allowance->all});
    }
  }
  return pieces;
}

void Engine::Emit(Answer& answer, const Pieces& pieces) {
  for (const AnswerPiece& piece : pieces) answer.Tell(AnswerDelta{answer.choice, piece});
}

void Engine::Finish(Answer& answer, FinishReason reason) {
  End(answer, answer.sequence.Finish(reason));
}

void Engine::End(Answer& answer, const Pieces& last) {
  const Sequence& sequence = answer.sequence;
  const std::shared_ptr<Ticket> ticket = answer.ticket;
  scheduler_.Remove(answer.id);
  Keep(answer);
  Emit(answer, last);
  ticket->usage.reasoning_tokens += sequence.reasoning_tokens();
  answer.Tell(AnswerFinished{.choice = answer.choice,
                             .reason = *sequence.finish_reason(),
                             .ids = sequence.ids(),
                             .stop_string = sequence.stop_string(),
                             .reasoning_tokens = sequence.reasoning_tokens()});
  if (--ticket->answers == 0) {
    const double ended = Now();
    const double admitted = ticket->admitted.value_or(ended);
    const double first = ticket->first_token.value_or(ended);
    const double last_token = ticket->first_token ? ticket->last_token : ended;
    for (const PromptImage& image : ticket->images) {
      ticket->usage.image_tokens += image.Before(ticket->usage.read_tokens);
      ticket->usage.cached_image_tokens += image.Before(ticket->usage.cached_tokens);
    }
    answer.Tell(RequestDone{.usage = ticket->usage,
                            .timings = {.queue_seconds = admitted - ticket->submitted,
                                        .prompt_seconds = first - admitted,
                                        .decode_seconds = last_token - first},
                            .status = ticket->status});
  }
  answers_.erase(answer.id);
}

// What a sequence has read stays for those that begin alike, be it itself that goes on later.
void Engine::Keep(Answer& answer) {
  if (const auto layered = layered_.find(answer.id); layered != layered_.end()) {
    answer.state = std::move(layered->second.before);  // its own is between two layers
    layered_.erase(layered);
  }
  if (!answer.state) return;
  if (options_.keep && answer.state->position() > 0) {
    Insert(answer, *std::move(answer.state), SnapshotKind::kEnd);
    cache_.Note(answer.ticket->space, answer.sequence.keys());
  }
  answer.state.reset();
}

}  // namespace fulmen
