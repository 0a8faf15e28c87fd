// The automaton of a grammar: a pushdown automaton over bytes whose states are made as they are
// reached, and kept. A state stands for all ways to read the text so far: each is the lexeme under
// way and a stack of what must follow it. Stacks share their tails.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "grammar/grammar.h"
#include "grammar/intern_table.h"

namespace fulmen {

// Not thread safe; the grammar may be shared with machines of other threads.
class Machine {
 public:
  using State = uint32_t;
  static constexpr State kDead = 0;  // no text goes on from here

  explicit Machine(std::shared_ptr<const Grammar> grammar);

  State start() const { return start_; }
  // After one more byte; kDead if it cannot follow. From any other state some text leads to the
  // end.
  State Next(State state, uint8_t byte) {
    const State next = next_[size_t{state} * 256 + byte];
    return next != kUnknown ? next : Step(state, byte);
  }
  // Whether the text may end here.
  bool Accepts(State state) const { return states_[state].accepts; }
  // The bytes that may follow.
  ByteSet LiveBytes(State state);

  // One way to read on: the rest of the lexeme under way, and what follows it.
  struct Thread {
    Term term;
    uint32_t stack;
    // NOLINTNEXTLINE(modernize-use-nullptr): what it warns of is not there
    friend auto operator<=>(const Thread&, const Thread&) = default;
  };
  const std::vector<Thread>& ThreadsOf(State state) const { return states_[state].threads; }
  Terms& terms() { return terms_; }

  // A text that leads from `state` to the end: a shortest one of each lexeme and of each choice on
  // the way. An error if it has more than a megabyte, or takes too long to find.
  Result<std::string> WayToEnd(State state);

  // The same place in the text for `other`, a machine of the same grammar.
  State CopyTo(Machine& other, State state) const;

  // Bytes of memory held. Whoever finds it too much goes on with a fresh machine.
  size_t MemoryBytes() const;
  // Whether some state could not be made because its grammar is too ambiguous or its terms too
  // many; it was then taken for kDead.
  bool exhausted() const { return exhausted_ || terms_.exhausted(); }

 private:
  static constexpr State kUnknown = UINT32_MAX;
  static constexpr uint32_t kBottom = 0;  // the empty stack

  // `progress` counts repetitions, says which part of a sequence is next, and which items of a
  // kDistinct were used.
  struct Frame {
    Expr expr;
    uint64_t progress;
    uint32_t below;
  };
  struct Heads {
    std::vector<Thread> threads;
    bool at_end = false;
  };
  struct StateNode {
    std::vector<Thread> threads;  // in rising order
    bool accepts = false;
  };

  State Step(State state, uint8_t byte);
  State Intern(const std::vector<Thread>& threads, bool accepts);
  uint32_t Push(Expr expr, uint64_t progress, uint32_t below);
  // What may come next when `stack` is all that is left.
  const Heads& HeadsOf(uint32_t stack);
  void Expand(const Frame& frame, std::vector<uint32_t>& open, std::vector<Thread>& threads);
  void ExpandDistinct(const Frame& frame, std::vector<uint32_t>& open);
  void ExpandSequence(const Frame& frame, std::vector<uint32_t>& open);

  // What is known of the shortest texts of expressions: of a choice, and of a rule, which part has
  // one. `missing` counts parts whose lengths are not known yet.
  struct Shortest {
    int64_t length = 0;
    int64_t sum = 0;  // of the known parts
    uint32_t missing = 0;
    std::optional<Expr> way = {};
  };
  void FindShortest();
  int64_t LengthBy(Expr expr, Expr part);
  std::vector<Expr> ShortestItems(const Grammar::Node& node, uint64_t used) const;
  int64_t RestLength(const Frame& frame) const;
  int64_t LengthToEnd(uint32_t stack);
  void AppendRest(const Frame& start, std::string& text);

  std::shared_ptr<const Grammar> grammar_;
  Terms terms_;
  bool exhausted_ = false;
  State start_ = kDead;
  std::vector<Frame> frames_;
  InternTable frame_table_;
  std::vector<std::unique_ptr<Heads>> heads_;  // by stack; null: not asked for yet
  std::vector<StateNode> states_;
  InternTable state_table_;
  size_t thread_bytes_ = 0;
  std::vector<State> next_;  // 256 for each state
  // Once a way to the end was asked for: of each expression, and of what is left of each stack.
  std::vector<Shortest> shortest_;
  std::vector<int64_t> to_end_;
};

}  // namespace fulmen
