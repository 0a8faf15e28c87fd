#include "grammar/reach.h"

#include <algorithm>
#include <set>
#include <utility>

namespace fulmen {
namespace {

// Derivatives that are looked at before a language counts as too intricate.
constexpr size_t kLargestClosure = 24;
// What must still come of a language that is not too intricate.
constexpr size_t kLongestNeeded = 1'000;

}  // namespace

Reach::Reach(Terms& terms, const CodePoints& characters)
    : terms_(terms),
      character_(Character(terms, characters, Spelling::kText)),
      first_bytes_(terms.FirstBytes(character_)) {}

Reach::Cover Reach::CoverOf(Term term) {
  const auto known = covers_.find(term);
  if (known != covers_.end()) return known->second;
  const Term two = terms_.Concat(character_, character_);
  const Cover cover{
      .all = !terms_.Live(terms_.Without(character_, term)),
      .only = !terms_.Live(terms_.Intersect(term, terms_.Concat(two, Terms::kEverything)))};
  covers_.emplace(term, cover);
  return cover;
}

Reach::Span Reach::Of(Term term) {
  if ((terms_.FirstBytes(term) & first_bytes_).IsEmpty()) return {0, true};
  const auto known = spans_.find(term);
  if (known != spans_.end()) return known->second;
  Span span = Find(term);
  const bool all_begin = (first_bytes_ & terms_.FirstBytes(term).Complement()).IsEmpty();
  if (span.all == 0 && all_begin && Closure(term)) span = {kEndless, true};
  spans_.emplace(term, span);
  return span;
}

Reach::Span Reach::Find(Term term) {
  switch (terms_.KindOf(term)) {
    case Terms::Kind::kUnion:
      return OfUnion(term);
    case Terms::Kind::kConcat:
      return OfConcat(term);
    case Terms::Kind::kRepeat:
      return OfRepeat(term, Terms::kEmpty);
    case Terms::Kind::kIntersect:
      return OfIntersection(term);
    case Terms::Kind::kNot:
      return {terms_.KnownFinite(terms_.Parts(term)[0]) ? kEndless : 0, false};
    default:
      return {};
  }
}

Reach::Span Reach::OfUnion(Term term) {
  Span span{0, true};
  const std::vector<Term> parts(terms_.Parts(term).begin(), terms_.Parts(term).end());
  for (const Term part : parts) {
    span = span | Of(part);
  }
  return span;
}

Reach::Span Reach::OfConcat(Term term) {
  const Term first = terms_.Parts(term)[0];
  const Term rest = terms_.Parts(term)[1];
  if (terms_.KindOf(first) == Terms::Kind::kRepeat) return OfRepeat(first, rest);
  if (!terms_.Live(rest)) return {0, true};
  const Span span = Of(first);
  return {span.all, span.none && (terms_.FirstBytes(rest) & first_bytes_).IsEmpty()};
}

Reach::Span Reach::OfRepeat(Term repeat, Term rest) {
  const Cover cover = CoverOf(terms_.Parts(repeat)[0]);
  if (!cover.all || !terms_.Live(rest)) return {};
  const int32_t most = terms_.BoundsOf(repeat).max;
  if (most == Terms::kUnbounded) return {kEndless, true};
  return {most, cover.only && (terms_.FirstBytes(rest) & first_bytes_).IsEmpty()};
}

Reach::Span Reach::OfIntersection(Term term) {
  const std::vector<Term> parts(terms_.Parts(term).begin(), terms_.Parts(term).end());
  std::vector<Term> others;
  bool lacks_few = false;
  int64_t most = kEndless;
  for (const Term part : parts) {
    const Terms::Kind kind = terms_.KindOf(part);
    if (kind == Terms::Kind::kNot && terms_.KnownFinite(terms_.Parts(part)[0])) {
      lacks_few = true;
      continue;
    }
    if (kind == Terms::Kind::kRepeat && terms_.BoundsOf(part).min == 0 &&
        terms_.BoundsOf(part).max != Terms::kUnbounded) {
      const Cover cover = CoverOf(terms_.Parts(part)[0]);
      if (cover.all && cover.only) {
        most = std::min<int64_t>(most, terms_.BoundsOf(part).max);
        continue;
      }
    }
    others.push_back(part);
  }
  if (most == kEndless) {
    // Finitely many strings less: of an endless language there is always one left.
    return {others.size() == 1 && Of(others[0]).all == kEndless ? kEndless : 0, false};
  }
  if (lacks_few) return {};
  // No more than `most` characters: room must be left for what must still come.
  const auto closure = Closure(terms_.Intersect(others));
  if (!closure) return {};
  int64_t needed = 0;
  for (const Term state : *closure) {
    const auto shortest = terms_.Shortest(state, kLongestNeeded);
    if (!shortest) return {};
    needed = std::max(needed, static_cast<int64_t>(shortest->size()));
  }
  return {std::max<int64_t>(most - needed, 0), needed == 0};
}

std::optional<std::vector<Term>> Reach::Closure(Term start) {
  std::vector<Term> states{start};
  // What is left of the language, and of the character under way.
  std::vector<std::pair<Term, Term>> open{{start, character_}};
  std::set<std::pair<Term, Term>> seen;
  while (!open.empty()) {
    const auto [term, character] = open.back();
    open.pop_back();
    for (ByteSet left = terms_.FirstBytes(character); !left.IsEmpty();) {
      ByteSet same = ByteSet::All();
      const uint8_t byte = left.First();
      const Term next = terms_.Derive(term, byte, same);
      const Term rest = terms_.Derive(character, byte, same);
      left &= same.Complement();
      if (next == Terms::kNothing || !terms_.Live(next)) return std::nullopt;
      const bool whole = terms_.Nullable(rest);
      if (whole && std::ranges::find(states, next) == states.end()) states.push_back(next);
      const std::pair pair(next, whole ? character_ : rest);
      if (seen.insert(pair).second) open.push_back(pair);
      if (states.size() > kLargestClosure || seen.size() > 8 * kLargestClosure) {
        return std::nullopt;
      }
    }
  }
  return states;
}

}  // namespace fulmen
