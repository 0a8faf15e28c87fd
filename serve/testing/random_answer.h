// Events of answers as an engine sends them, at random, for tests of what APIs make of them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "engine/request.h"
#include "engine/testing/nano.h"
#include "serve/generation.h"

namespace fulmen::testing {

inline std::string HandleOf(size_t choice) { return fmt::format("turn_{:022}", choice); }

inline AnswerStart StartOf(size_t choices, std::vector<int32_t> prompt = {1, 2, 3}) {
  AnswerStart start = {.model = "nano",
                       .tokenizer = NanoTokenizer(),
                       .prompt = std::move(prompt),
                       .handles = {},
                       .created = 1'700'000'000};
  for (size_t i = 0; i < choices; ++i) start.handles.push_back(HandleOf(i));
  return start;
}

struct AnswerKinds {
  bool structured = true;  // thoughts and calls, not text alone
  bool logprobs = false;
};

// The events of one choice: thoughts, text and calls in pieces of any size with tokens before them;
// held back text, broken and cut calls, stop strings and every reason to end.
class ChoiceGenerator {
 public:
  ChoiceGenerator(AnswerKinds kinds, RandomStream& random) : kinds_(kinds), random_(random) {}

  std::vector<Event> Choice(int64_t choice) {
    choice_ = choice;
    events_.clear();
    bool called = false;
    bool cut = false;
    if (kinds_.structured && Chance(2)) Pieces(AnswerPiece::Kind::kReasoning);
    for (uint64_t n = random_.Next() % 5; n > 0 && !cut; --n) {
      if (!kinds_.structured || Chance(2)) {
        Pieces(AnswerPiece::Kind::kText);
      } else {
        cut = Chance(8);  // in the call
        Call(cut || Chance(6));
        called = called ||
                 std::get<AnswerDelta>(events_.back()).piece.kind == AnswerPiece::Kind::kCallEnd;
      }
    }
    Tokens();
    AnswerFinished finished = {.choice = choice, .reason = FinishReason::kStop, .ids = {1, 2}};
    if (cut || Chance(4)) {
      constexpr FinishReason kCut[] = {FinishReason::kLength, FinishReason::kContext,
                                       FinishReason::kDeadline, FinishReason::kCancelled};
      finished.reason = kCut[random_.Next() % std::size(kCut)];
    } else {
      if (called) finished.reason = FinishReason::kToolCalls;
      if (Chance(3)) finished.stop_string = "STOP";
    }
    events_.emplace_back(std::move(finished));
    return std::move(events_);
  }

 private:
  bool Chance(uint64_t one_in) { return random_.Next() % one_in == 0; }

  std::string Text() {
    constexpr const char* kWords[] = {"a",          " of",  "\n",   "\u00e9",
                                      "\U0001F600", "\"\\", "</x>", "}"};
    std::string text;
    for (uint64_t n = 1 + random_.Next() % 3; n > 0; --n) {
      text += kWords[random_.Next() % std::size(kWords)];
    }
    return text;
  }

  void Tokens() {
    for (uint64_t n = random_.Next() % 4; n > 0; --n) {
      TokenSampled token = {.choice = choice_, .id = static_cast<int32_t>(random_.Next() % 4096)};
      if (kinds_.logprobs) {
        token.logprob = -5 * random_.Uniform();
        token.top = {{token.id, *token.logprob}, {static_cast<int32_t>(random_.Next() % 4096), -6}};
      }
      events_.emplace_back(std::move(token));
    }
  }

  void Piece(AnswerPiece::Kind kind, std::string text) {
    Tokens();
    events_.emplace_back(AnswerDelta{choice_, {kind, std::move(text)}});
  }

  void Pieces(AnswerPiece::Kind kind) {
    for (uint64_t n = 1 + random_.Next() % 4; n > 0; --n) Piece(kind, Text());
  }

  void Call(bool broken) {
    Piece(AnswerPiece::Kind::kCall, Chance(2) ? "weather" : "f");
    if (broken && Chance(2)) return;
    Piece(AnswerPiece::Kind::kArguments, "{\"a\":");
    if (broken) return;
    if (Chance(2)) Piece(AnswerPiece::Kind::kArguments, "\"\u00e9\",\"b\":");
    Piece(AnswerPiece::Kind::kArguments, "1}");
    Piece(AnswerPiece::Kind::kCallEnd, "");
  }

  AnswerKinds kinds_;
  RandomStream& random_;
  int64_t choice_ = 0;
  std::vector<Event> events_;
};

// Several lists of events in one, each in its order.
template <class T>
std::vector<T> Interleaved(std::vector<std::vector<T>> lists, RandomStream& random) {
  std::vector<T> all;
  std::vector<size_t> at(lists.size(), 0);
  while (true) {
    std::vector<size_t> left;
    for (size_t i = 0; i < lists.size(); ++i) {
      if (at[i] < lists[i].size()) left.push_back(i);
    }
    if (left.empty()) return all;
    const size_t i = left[random.Next() % left.size()];
    all.push_back(std::move(lists[i][at[i]++]));
  }
}

// All events of one request.
inline std::vector<Event> RandomEvents(AnswerKinds kinds, size_t choices, RandomStream& random) {
  std::vector<std::vector<Event>> each;
  for (size_t i = 0; i < choices; ++i) {
    each.push_back(ChoiceGenerator(kinds, random).Choice(static_cast<int64_t>(i)));
  }
  std::vector<Event> events = {PromptProgress{2, 3, 2}, PromptProgress{3, 3, 2}};
  for (Event& event : Interleaved(std::move(each), random)) events.push_back(std::move(event));
  events.emplace_back(RequestDone{
      .usage = {.prompt_tokens = 3, .cached_tokens = 2, .output_tokens = 9, .reasoning_tokens = 4},
      .timings = {},
      .status = {}});
  return events;
}

}  // namespace fulmen::testing
