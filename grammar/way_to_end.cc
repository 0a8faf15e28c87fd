// The shortest texts of expressions, and with them a way from any state to the end.
#include <algorithm>
#include <bit>

#include "base/check.h"
#include "grammar/machine.h"

namespace fulmen {
namespace {

constexpr int64_t kEndless = INT64_MAX / 4;

int64_t Sum(int64_t a, int64_t b) { return std::min(a + b, kEndless); }

int64_t Times(int64_t count, int64_t length) {
  return length != 0 && count > kEndless / length ? kEndless : count * length;
}

}  // namespace

// The length of a shortest text, from those of the parts as far as they are known.
int64_t Machine::LengthFromParts(Expr expr) {
  const Grammar::Node& node = grammar_->node(expr);
  if (!node.productive) return kEndless;
  const auto shortest = [this](Expr part) { return shortest_[part]; };
  switch (node.kind) {
    case Grammar::Kind::kLexeme:
      return static_cast<int64_t>(terms_.Shortest(node.term).size());
    case Grammar::Kind::kSequence: {
      int64_t length = 0;
      for (const Expr part : node.parts) length = Sum(length, shortest(part));
      return length;
    }
    case Grammar::Kind::kChoice: {
      int64_t length = kEndless;
      for (const Expr part : node.parts) length = std::min(length, shortest(part));
      return length;
    }
    case Grammar::Kind::kRepeat:
      return Times(node.min, shortest(node.parts[0]));
    case Grammar::Kind::kDistinct: {
      int64_t length = Times(std::max<int64_t>(node.min - 1, 0), shortest(node.parts[0]));
      for (const Expr item : ShortestItems(expr, 0)) length = Sum(length, shortest(item));
      return length;
    }
    case Grammar::Kind::kRule:
      return shortest(grammar_->body(node.rule));
  }
  return kEndless;
}

// The items that are still wanted by a kDistinct that has used some.
std::vector<Expr> Machine::ShortestItems(Expr expr, uint64_t used) const {
  const Grammar::Node& node = grammar_->node(expr);
  std::vector<Expr> items;
  for (size_t item = 1; item < node.parts.size(); ++item) {
    if ((used >> (item - 1) & 1) == 0) items.push_back(node.parts[item]);
  }
  std::ranges::stable_sort(items, {}, [this](Expr item) { return shortest_[item]; });
  items.resize(
      std::min<size_t>(items.size(), std::max<int64_t>(node.min - std::popcount(used), 0)));
  return items;
}

void Machine::FindShortest() {
  if (!shortest_.empty()) return;
  shortest_.assign(grammar_->size(), kEndless);
  std::vector<Expr> open;
  for (Expr expr = 0; expr < grammar_->size(); ++expr) {
    if (grammar_->node(expr).kind == Grammar::Kind::kLexeme) {
      shortest_[expr] = LengthFromParts(expr);
    } else {
      open.push_back(expr);
    }
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (const Expr expr : open) {
      const int64_t length = LengthFromParts(expr);
      changed = changed || length != shortest_[expr];
      shortest_[expr] = length;
    }
  }
}

void Machine::AppendShortest(Expr expr, std::string& text) {
  const Grammar::Node& node = grammar_->node(expr);
  switch (node.kind) {
    case Grammar::Kind::kLexeme:
      text += terms_.Shortest(node.term);
      break;
    case Grammar::Kind::kChoice:
      AppendShortest(
          *std::ranges::min_element(node.parts, {}, [&](Expr part) { return shortest_[part]; }),
          text);
      break;
    case Grammar::Kind::kRule:
      AppendShortest(grammar_->body(node.rule), text);
      break;
    default:
      AppendRest({expr, 0, kBottom}, text);
  }
}

// The rest of what `frame` has begun, without what is below it.
void Machine::AppendRest(const Frame& frame, std::string& text) {
  const Grammar::Node& node = grammar_->node(frame.expr);
  switch (node.kind) {
    case Grammar::Kind::kSequence:
      for (size_t part = frame.progress; part < node.parts.size(); ++part) {
        AppendShortest(node.parts[part], text);
      }
      break;
    case Grammar::Kind::kRepeat:
      for (auto done = static_cast<int64_t>(frame.progress); done < node.min; ++done) {
        AppendShortest(node.parts[0], text);
      }
      break;
    case Grammar::Kind::kDistinct: {
      bool first = frame.progress == 0;
      for (const Expr item : ShortestItems(frame.expr, frame.progress)) {
        if (!first) AppendShortest(node.parts[0], text);
        first = false;
        AppendShortest(item, text);
      }
      break;
    }
    default:
      AppendShortest(frame.expr, text);
  }
}

std::string Machine::WayToEnd(State state) {
  FULMEN_CHECK(state != kDead, "no text goes on from here");
  if (Accepts(state)) return "";
  FindShortest();
  std::string best;
  bool found = false;
  for (const Thread& thread : std::vector<Thread>(states_[state].threads)) {
    std::string text = terms_.Shortest(thread.term);
    for (uint32_t stack = thread.stack; stack != kBottom; stack = frames_[stack].below) {
      AppendRest(frames_[stack], text);
    }
    if (!found || text.size() < best.size()) best = std::move(text);
    found = true;
  }
  return best;
}

}  // namespace fulmen
