#include "grammar/machine.h"

#include <algorithm>
#include <bit>
#include <unordered_map>
#include <unordered_set>

#include "base/check.h"

namespace fulmen {
namespace {

// What a machine may grow to in one go. A mask of the largest vocabulary reaches a fraction of it.
constexpr size_t kMostStates = 100'000;
// Ways to read one text. Schemas with many alternatives have some hundreds.
constexpr size_t kMostThreads = 100'000;
// What it takes to look at a frame, and to make a state, in steps of Terms::Allow.
constexpr int64_t kStepsToExpand = 10;
constexpr int64_t kStepsForState = 20;

}  // namespace

Machine::Machine(std::shared_ptr<const Grammar> grammar)
    : grammar_(std::move(grammar)), terms_(grammar_->terms()) {
  terms_.MakeRoom(Grammar::kMostTerms);
  terms_.Allow(Grammar::kMostWork);
  frames_.push_back({});  // kBottom
  heads_.emplace_back();
  states_.emplace_back();  // kDead
  next_.assign(256, kDead);
  const Heads& heads = HeadsOf(Push(grammar_->start(), 0, kBottom));
  start_ = Intern(heads.threads, heads.at_end);
}

uint32_t Machine::Push(Expr expr, uint64_t progress, uint32_t below) {
  const auto fresh = static_cast<uint32_t>(frames_.size());
  const uint64_t hash = InternTable::Mix(InternTable::Mix(expr, progress), below);
  const uint32_t stack = frame_table_.FindOrAdd(hash, fresh, [&](uint32_t index) {
    const Frame& frame = frames_[index];
    return frame.expr == expr && frame.progress == progress && frame.below == below;
  });
  if (stack == fresh) {
    frames_.push_back({expr, progress, below});
    heads_.emplace_back();
  }
  return stack;
}

const Machine::Heads& Machine::HeadsOf(uint32_t stack) {
  if (heads_[stack] != nullptr) return *heads_[stack];
  auto heads = std::make_unique<Heads>();
  std::vector<uint32_t> open{stack};
  // A loop over what may be empty comes back to a stack it has been at.
  std::unordered_set<uint32_t> seen{stack};
  for (size_t at = 0; at < open.size(); ++at) {
    if (open[at] == kBottom) {
      heads->at_end = true;
      continue;
    }
    std::vector<uint32_t> more;
    terms_.Spend(kStepsToExpand);
    Expand(Frame(frames_[open[at]]), more, heads->threads);
    for (const uint32_t next : more) {
      if (seen.insert(next).second) open.push_back(next);
    }
    if (open.size() > kMostThreads) exhausted_ = true;
    if (exhausted()) break;
  }
  heads_[stack] = std::move(heads);
  return *heads_[stack];
}

void Machine::Expand(const Frame& frame, std::vector<uint32_t>& open,
                     std::vector<Thread>& threads) {
  const Grammar::Node& node = grammar_->node(frame.expr);
  switch (node.kind) {
    case Grammar::Kind::kLexeme:
      if (node.term != Terms::kEmpty) threads.push_back({node.term, frame.below});
      if (terms_.Nullable(node.term)) open.push_back(frame.below);
      break;
    case Grammar::Kind::kSequence:
      ExpandSequence(frame, open);
      break;
    case Grammar::Kind::kChoice:
      for (const Expr part : node.parts) {
        if (grammar_->node(part).productive) open.push_back(Push(part, 0, frame.below));
      }
      break;
    case Grammar::Kind::kRepeat: {
      const uint64_t done = frame.progress;
      if (done >= static_cast<uint64_t>(node.min)) open.push_back(frame.below);
      if (!grammar_->node(node.parts[0]).productive ||
          (node.max != Grammar::kUnbounded && done >= static_cast<uint64_t>(node.max))) {
        break;
      }
      // Past `min` there is nothing to count if there is no end to it.
      const uint64_t now = node.max == Grammar::kUnbounded
                               ? std::min(done + 1, static_cast<uint64_t>(node.min))
                               : done + 1;
      open.push_back(Push(node.parts[0], 0, Push(frame.expr, now, frame.below)));
      break;
    }
    case Grammar::Kind::kDistinct:
      ExpandDistinct(frame, open);
      break;
    case Grammar::Kind::kRule:
      open.push_back(Push(grammar_->body(node.rule), 0, frame.below));
      break;
  }
}

void Machine::ExpandSequence(const Frame& frame, std::vector<uint32_t>& open) {
  const std::vector<Expr>& parts = grammar_->node(frame.expr).parts;
  if (parts.empty()) {
    open.push_back(frame.below);
    return;
  }
  const uint64_t next = frame.progress + 1;
  const uint32_t rest = next == parts.size() ? frame.below : Push(frame.expr, next, frame.below);
  open.push_back(Push(parts[frame.progress], 0, rest));
}

void Machine::ExpandDistinct(const Frame& frame, std::vector<uint32_t>& open) {
  const Grammar::Node& node = grammar_->node(frame.expr);
  const int64_t done = std::popcount(frame.progress);
  if (done >= node.min) open.push_back(frame.below);
  if (done >= node.max || (done > 0 && !grammar_->node(node.parts[0]).productive)) return;
  for (size_t item = 1; item < node.parts.size(); ++item) {
    const uint64_t bit = uint64_t{1} << (item - 1);
    if ((frame.progress & bit) != 0 || !grammar_->node(node.parts[item]).productive) continue;
    const uint32_t rest = Push(frame.expr, frame.progress | bit, frame.below);
    const uint32_t with_item = Push(node.parts[item], 0, rest);
    open.push_back(done == 0 ? with_item : Push(node.parts[0], 0, with_item));
  }
}

Machine::State Machine::Intern(const std::vector<Thread>& threads, bool accepts) {
  std::vector<Thread> all;
  for (const Thread& thread : threads) {
    if (terms_.Nullable(thread.term)) {
      const Heads& heads = HeadsOf(thread.stack);
      all.insert(all.end(), heads.threads.begin(), heads.threads.end());
      terms_.Spend(static_cast<int64_t>(heads.threads.size()));
      accepts = accepts || heads.at_end;
    }
    if (thread.term != Terms::kEmpty && terms_.Live(thread.term)) all.push_back(thread);
    if (exhausted()) return kDead;
  }
  terms_.Spend(kStepsForState + static_cast<int64_t>(all.size()));
  std::ranges::sort(all);
  all.erase(std::unique(all.begin(), all.end()), all.end());
  if (all.size() > kMostThreads || states_.size() >= kMostStates) exhausted_ = true;
  if (exhausted() || (all.empty() && !accepts)) return kDead;

  uint64_t hash = accepts ? 1 : 2;
  for (const Thread& thread : all) {
    hash = InternTable::Mix(hash, uint64_t{thread.term} << 32 | thread.stack);
  }
  const auto fresh = static_cast<State>(states_.size());
  const State state = state_table_.FindOrAdd(hash, fresh, [&](State index) {
    return states_[index].accepts == accepts && states_[index].threads == all;
  });
  if (state == fresh) {
    thread_bytes_ += all.size() * sizeof(Thread);
    states_.push_back({std::move(all), accepts});
    next_.resize(next_.size() + 256, kUnknown);
  }
  return state;
}

Machine::State Machine::Step(State state, uint8_t byte) {
  // All bytes that lead to the same state are noted at once.
  ByteSet same = ByteSet::All();
  std::vector<Thread> threads;
  for (const Thread& thread : states_[state].threads) {
    const Term term = terms_.Derive(thread.term, byte, same);
    if (term != Terms::kNothing) threads.push_back({term, thread.stack});
  }
  const State next = threads.empty() ? kDead : Intern(threads, false);
  for (const uint64_t& word : same.words()) {
    const size_t first = size_t{state} * 256 + 64 * (&word - same.words().data());
    for (uint64_t left = word; left != 0; left &= left - 1) {
      next_[first + std::countr_zero(left)] = next;
    }
  }
  return next;
}

ByteSet Machine::LiveBytes(State state) {
  ByteSet live;
  for (int byte = 0; byte < 256; ++byte) {
    if (Next(state, static_cast<uint8_t>(byte)) != kDead) live.Insert(static_cast<uint8_t>(byte));
  }
  return live;
}

Machine::State Machine::CopyTo(Machine& other, State state) const {
  FULMEN_CHECK(grammar_ == other.grammar_, "a machine of another grammar");
  std::vector<Thread> threads = states_[state].threads;
  std::vector<Term> terms;
  for (const Thread& thread : threads) terms.push_back(thread.term);
  terms = other.terms_.Import(terms_, terms, grammar_->terms().size());
  std::unordered_map<uint32_t, uint32_t> copies{{kBottom, kBottom}};
  for (size_t at = 0; at < threads.size(); ++at) {
    std::vector<uint32_t> path;
    uint32_t stack = threads[at].stack;
    for (; !copies.contains(stack); stack = frames_[stack].below) path.push_back(stack);
    for (size_t left = path.size(); left > 0; --left) {
      const Frame& frame = frames_[path[left - 1]];
      copies[path[left - 1]] = other.Push(frame.expr, frame.progress, copies[frame.below]);
    }
    threads[at] = {terms[at], copies[threads[at].stack]};
  }
  return other.Intern(threads, states_[state].accepts);
}

size_t Machine::MemoryBytes() const {
  return terms_.MemoryBytes() + frames_.capacity() * sizeof(Frame) + frame_table_.MemoryBytes() +
         heads_.capacity() * sizeof(heads_[0]) + states_.capacity() * sizeof(StateNode) +
         state_table_.MemoryBytes() + thread_bytes_ + next_.capacity() * sizeof(State);
}

}  // namespace fulmen
