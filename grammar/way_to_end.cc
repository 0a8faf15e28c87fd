// The shortest texts of expressions, and with them a way from any state to the end.
#include <algorithm>
#include <bit>
#include <queue>

#include "base/check.h"
#include "grammar/machine.h"

namespace fulmen {
namespace {

constexpr int64_t kEndless = INT64_MAX / 4;
constexpr int64_t kLongestWay = int64_t{1} << 20;

int64_t Sum(int64_t a, int64_t b) { return std::min(a + b, kEndless); }

int64_t Times(int64_t count, int64_t length) {
  return length != 0 && count > kEndless / length ? kEndless : count * length;
}

}  // namespace

// From the shortest to the longest, as Dijkstra finds ways: what is reached first is final (Knuth,
// "A generalization of Dijkstra's algorithm", 1977).
void Machine::FindShortest() {
  if (!shortest_.empty()) return;
  shortest_.assign(grammar_->size(), {.length = kEndless});
  const Grammar::Users users = grammar_->FindUsers();
  using Found = std::pair<int64_t, Expr>;
  std::priority_queue<Found, std::vector<Found>, std::greater<>> open;
  for (Expr expr = 0; expr < grammar_->size(); ++expr) {
    const Grammar::Node& node = grammar_->node(expr);
    shortest_[expr].missing = static_cast<uint32_t>(node.parts.size());
    if (!node.productive) continue;
    if (node.kind == Grammar::Kind::kLexeme) {
      const auto text = terms_.Shortest(node.term, kLongestWay);
      if (text) open.emplace(text->size(), expr);
    } else if (RestLength({expr, 0, kBottom}) == 0) {
      open.emplace(0, expr);
    }
  }
  while (!open.empty()) {
    const auto [length, part] = open.top();
    open.pop();
    if (shortest_[part].length != kEndless) continue;
    shortest_[part].length = length;
    for (const Expr user : users.Of(part)) {
      const int64_t whole = LengthBy(user, part);
      if (whole < shortest_[user].length) open.emplace(whole, user);
    }
  }
}

// The length of a shortest text of `expr`, now that its part has one; kEndless if more is needed.
int64_t Machine::LengthBy(Expr expr, Expr part) {
  const Grammar::Node& node = grammar_->node(expr);
  Shortest& shortest = shortest_[expr];
  if (!node.productive || shortest.length != kEndless) return kEndless;
  switch (node.kind) {
    case Grammar::Kind::kSequence:
      shortest.sum = Sum(shortest.sum, shortest_[part].length);
      return --shortest.missing == 0 ? shortest.sum : kEndless;
    case Grammar::Kind::kRepeat:
    case Grammar::Kind::kDistinct:
      return RestLength({expr, 0, kBottom});
    default:
      if (shortest.way) return kEndless;  // the first that is known is the shortest
      shortest.way = part;
      return shortest_[part].length;
  }
}

// The items that are still wanted by a kDistinct that has used some.
std::vector<Expr> Machine::ShortestItems(const Grammar::Node& node, uint64_t used) const {
  std::vector<Expr> items;
  for (size_t item = 1; item < node.parts.size(); ++item) {
    if ((used >> (item - 1) & 1) == 0) items.push_back(node.parts[item]);
  }
  std::ranges::stable_sort(items, {}, [this](Expr item) { return shortest_[item].length; });
  items.resize(
      std::min<size_t>(items.size(), std::max<int64_t>(node.min - std::popcount(used), 0)));
  return items;
}

// Of what `frame` has begun, without what is below it.
int64_t Machine::RestLength(const Frame& frame) const {
  const Grammar::Node& node = grammar_->node(frame.expr);
  int64_t length = 0;
  switch (node.kind) {
    case Grammar::Kind::kSequence:
      for (size_t part = frame.progress; part < node.parts.size() && length < kEndless; ++part) {
        length = Sum(length, shortest_[node.parts[part]].length);
      }
      return length;
    case Grammar::Kind::kRepeat:
      return Times(std::max<int64_t>(node.min - static_cast<int64_t>(frame.progress), 0),
                   shortest_[node.parts[0]].length);
    case Grammar::Kind::kDistinct: {
      const std::vector<Expr> items = ShortestItems(node, frame.progress);
      for (const Expr item : items) length = Sum(length, shortest_[item].length);
      const int64_t separators = static_cast<int64_t>(items.size()) - (frame.progress == 0 ? 1 : 0);
      return Sum(length, Times(std::max<int64_t>(separators, 0), shortest_[node.parts[0]].length));
    }
    default:
      return shortest_[frame.expr].length;
  }
}

int64_t Machine::LengthToEnd(uint32_t stack) {
  to_end_.resize(frames_.size(), -1);
  to_end_[kBottom] = 0;
  std::vector<uint32_t> path;
  for (; to_end_[stack] < 0; stack = frames_[stack].below) path.push_back(stack);
  int64_t length = to_end_[stack];
  for (; !path.empty(); path.pop_back()) {
    length = Sum(length, RestLength(frames_[path.back()]));
    to_end_[path.back()] = length;
  }
  return length;
}

// The rest of what `start` has begun, without what is below it. A loop, as rules can nest deep.
void Machine::AppendRest(const Frame& start, std::string& text) {
  std::vector<Frame> open{start};
  const auto add = [&](Expr expr) {
    if (shortest_[expr].length > 0) open.push_back({expr, 0, kBottom});
  };
  while (!open.empty()) {
    const Frame frame = open.back();
    open.pop_back();
    const Grammar::Node& node = grammar_->node(frame.expr);
    switch (node.kind) {
      case Grammar::Kind::kLexeme:
        text += terms_.Shortest(node.term, kLongestWay).value_or("");
        break;
      case Grammar::Kind::kSequence:
        if (frame.progress == node.parts.size()) break;
        open.push_back({frame.expr, frame.progress + 1, kBottom});
        add(node.parts[frame.progress]);
        break;
      case Grammar::Kind::kRepeat:
        if (RestLength(frame) == 0) break;
        open.push_back({frame.expr, frame.progress + 1, kBottom});
        add(node.parts[0]);
        break;
      case Grammar::Kind::kDistinct: {
        const std::vector<Expr> items = ShortestItems(node, frame.progress);
        for (size_t item = items.size(); item > 0; --item) {
          add(items[item - 1]);
          if (item > 1 || frame.progress != 0) add(node.parts[0]);
        }
        break;
      }
      default:
        add(*shortest_[frame.expr].way);
    }
  }
}

Result<std::string> Machine::WayToEnd(State state) {
  if (Accepts(state)) return "";
  FindShortest();
  const Thread* best = nullptr;
  int64_t shortest = kEndless;
  for (const Thread& thread : states_[state].threads) {
    const int64_t rest = LengthToEnd(thread.stack);
    if (rest >= std::min(shortest, kLongestWay)) continue;
    const auto most = static_cast<size_t>(std::min(shortest - 1, kLongestWay) - rest);
    const auto text = terms_.Shortest(thread.term, most);
    if (!text) continue;
    best = &thread;
    shortest = rest + static_cast<int64_t>(text->size());
  }
  if (best == nullptr || exhausted()) {
    return Fail(ErrorCode::kUnsupported,
                "the shortest text to the end of the grammar is too long to find");
  }
  std::string text = terms_.Shortest(best->term, kLongestWay).value_or("");
  for (uint32_t stack = best->stack; stack != kBottom; stack = frames_[stack].below) {
    AppendRest(frames_[stack], text);
  }
  if (exhausted()) {
    return Fail(ErrorCode::kUnsupported,
                "the shortest text to the end of the grammar takes too long to find");
  }
  return text;
}

}  // namespace fulmen
