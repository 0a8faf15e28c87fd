#include "grammar/reach.h"

#include <algorithm>
#include <vector>

namespace fulmen {

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
  switch (terms_.KindOf(term)) {
    case Terms::Kind::kUnion: {
      Span span{0, true};
      const std::vector<Term> parts(terms_.Parts(term).begin(), terms_.Parts(term).end());
      for (const Term part : parts) {
        const Span other = Of(part);
        span.none = other.none && span.none;
        span.all = std::max(span.all, other.all);
      }
      return span;
    }
    case Terms::Kind::kConcat: {
      const Term first = terms_.Parts(term)[0];
      const Term rest = terms_.Parts(term)[1];
      if (terms_.KindOf(first) == Terms::Kind::kRepeat) return OfRepeat(first, rest);
      return {terms_.Live(rest) ? Of(first).all : 0, false};
    }
    case Terms::Kind::kRepeat: return OfRepeat(term, Terms::kEmpty);
    case Terms::Kind::kIntersect: return OfIntersection(term);
    case Terms::Kind::kNot: return {terms_.KnownFinite(terms_.Parts(term)[0]) ? kEndless : 0, false};
    default: return {};
  }
}

Reach::Span Reach::OfRepeat(Term repeat, Term rest) {
  const Cover cover = CoverOf(terms_.Parts(repeat)[0]);
  if (!cover.all || !terms_.Live(rest)) return {};
  const int32_t most = terms_.BoundsOf(repeat).max;
  if (most == Terms::kUnbounded) return {kEndless, true};
  return {most, cover.only && (terms_.FirstBytes(rest) & first_bytes_).IsEmpty()};
}

Reach::Span Reach::OfIntersection(Term term) {
  // Finitely many strings less: of an endless language there is always one left.
  const std::vector<Term> parts(terms_.Parts(term).begin(), terms_.Parts(term).end());
  int64_t all = kEndless;
  int others = 0;
  for (const Term part : parts) {
    const bool lacks_few = terms_.KindOf(part) == Terms::Kind::kNot &&
                           terms_.KnownFinite(terms_.Parts(part)[0]);
    if (lacks_few) continue;
    ++others;
    all = Of(part).all;
  }
  return {others == 1 && all == kEndless ? kEndless : 0, false};
}

}  // namespace fulmen
