// What is found by deriving: matches, and questions about a language that its term does not answer.
#include <algorithm>
#include <array>
#include <unordered_map>

#include "base/check.h"
#include "grammar/terms.h"

namespace fulmen {
namespace {

// A search that has seen so many terms gives up.
constexpr size_t kLongestSearch = 50'000;

}  // namespace

Term Terms::Derive(Term term, uint8_t byte, ByteSet& same) {
  Spend(1);
  if (exhausted_) return kNothing;
  const Kind kind = nodes_[term].kind;
  switch (kind) {
    case Kind::kNothing:
    case Kind::kEmpty:
      return kNothing;
    case Kind::kBytes: {
      const ByteSet& bytes = BytesOf(term);
      const bool has = bytes.Has(byte);
      same &= has ? bytes : bytes.Complement();
      return has ? kEmpty : kNothing;
    }
    case Kind::kConcat:
      return DeriveConcat(term, byte, same);
    case Kind::kUnion:
    case Kind::kIntersect: {
      const size_t begin = parts_.size();
      const size_t count = Parts(term).size();
      for (size_t at = 0; at < count; ++at) {
        const Term part = Derive(Parts(term)[at], byte, same);
        parts_.push_back(part);
        if (kind == Kind::kIntersect && part == kNothing) break;
      }
      return Gather(kind, begin);
    }
    case Kind::kNot:
      return Not(Derive(Parts(term)[0], byte, same));
    case Kind::kRepeat: {
      const Bounds bounds = BoundsOf(term);
      const Term part = Parts(term)[0];
      const Term rest = Repeat(part, std::max(bounds.min - 1, 0),
                               bounds.max == kUnbounded ? kUnbounded : bounds.max - 1);
      return Concat(Derive(part, byte, same), rest);
    }
    case Kind::kMultiple:
      return DeriveMultiple(term, byte, same);
  }
  return kNothing;
}

Term Terms::DeriveConcat(Term term, uint8_t byte, ByteSet& same) {
  // A loop, as many parts may be empty one after the other.
  const size_t begin = parts_.size();
  for (;;) {
    const Term first = Parts(term)[0];
    const Term second = Parts(term)[1];
    const Term way = Concat(Derive(first, byte, same), second);
    parts_.push_back(way);
    if (!Nullable(first)) break;
    term = second;
    if (nodes_[term].kind != Kind::kConcat) {
      const Term last = Derive(term, byte, same);
      parts_.push_back(last);
      break;
    }
  }
  return Gather(Kind::kUnion, begin);
}

Term Terms::DeriveMultiple(Term term, uint8_t byte, ByteSet& same) {
  std::array<uint32_t, kMultipleWords> words;
  std::ranges::copy(WordsOf(term), words.begin());
  const bool past_last = words[kAfterPoint] != 0 && words[kDecimalsLeft] == 0;
  if (byte == '.' && words[kAfterPoint] == 0) {
    words[kAfterPoint] = 1;
  } else if (byte >= '0' && byte <= '9' && (!past_last || byte == '0')) {
    if (past_last) {
      same &= ByteSet::Of(byte);
      return term;
    }
    const uint64_t value = uint64_t{words[kRemainder]} * 10 + (byte - '0');
    words[kRemainder] = static_cast<uint32_t>(value % words[kDivisor]);
    if (words[kAfterPoint] != 0) --words[kDecimalsLeft];
  } else {
    const ByteSet& known = FirstBytes(term);
    same &= known.Has(byte) ? ByteSet::Of(byte) : known.Complement();
    return kNothing;
  }
  same &= ByteSet::Of(byte);
  return Intern(Kind::kMultiple, FlagsOf(Kind::kMultiple, words), words);
}

Terms::Known Terms::KnownOf(Term term) const {
  const Node& node = nodes_[term];
  if (term == kNothing) return Known::kDead;
  return (node.flags & (kPlain | kInfinite | kNullable)) != 0 ? Known::kLive : node.known;
}

bool Terms::Live(Term start) {
  bool live = true;
  Term term = start;
  // A loop, as concatenations can be long.
  for (; live && KnownOf(term) == Known::kNo && nodes_[term].kind == Kind::kConcat;
       term = Parts(term)[1]) {
    live = Live(Parts(term)[0]);
  }
  if (live && KnownOf(term) != Known::kNo) {
    live = KnownOf(term) == Known::kLive;
  } else if (live && nodes_[term].kind == Kind::kRepeat) {
    live = Live(Parts(term)[0]);
  } else if (live && nodes_[term].kind == Kind::kUnion) {
    live = false;
    for (size_t at = 0; !live && at < Parts(term).size(); ++at) live = Live(Parts(term)[at]);
  } else if (live) {
    live = Search(term);
  }
  if (!exhausted_) nodes_[start].known = live ? Known::kLive : Known::kDead;
  return live;
}

// Breadth first, so that a way to the end is found before the loops beside it are unrolled.
bool Terms::Search(Term start) {
  std::vector<Term> reached{start};
  std::unordered_map<Term, Term> came_from{{start, start}};
  for (size_t at = 0; at < reached.size(); ++at) {
    const Term term = reached[at];
    for (ByteSet left = FirstBytes(term); !left.IsEmpty();) {
      ByteSet same = ByteSet::All();
      const Term next = Derive(term, left.First(), same);
      left &= same.Complement();
      if (KnownOf(next) == Known::kDead) continue;
      if (KnownOf(next) == Known::kLive) {
        nodes_[next].known = Known::kLive;
        for (Term on_the_way = term;; on_the_way = came_from[on_the_way]) {
          nodes_[on_the_way].known = Known::kLive;
          if (on_the_way == start) return true;
        }
      }
      if (came_from.try_emplace(next, term).second) reached.push_back(next);
      if (reached.size() > kLongestSearch) exhausted_ = true;
      if (exhausted_) return false;
    }
  }
  for (const Term term : reached) nodes_[term].known = Known::kDead;
  return false;
}

std::optional<std::string> Terms::Shortest(Term term, size_t most) {
  FULMEN_CHECK(exhausted_ || Live(term), "no string to be shortest");
  Spend(1);
  std::string text;
  if (exhausted_ || !AppendShortest(term, most, text)) return std::nullopt;
  return text;
}

// Adds `most` bytes at most; false if that is not enough or takes too long.
bool Terms::AppendShortest(Term term, size_t most, std::string& text) {
  // A loop, as concatenations can be long.
  while (nodes_[term].kind == Kind::kConcat && !Nullable(term)) {
    const size_t before = text.size();
    if (!AppendShortest(Parts(term)[0], most, text)) return false;
    most -= text.size() - before;
    term = Parts(term)[1];
  }
  Spend(1);
  if (exhausted_) return false;
  if (Nullable(term)) return true;
  if (most == 0) return false;
  switch (nodes_[term].kind) {
    case Kind::kBytes:
      text.push_back(static_cast<char>(BytesOf(term).First()));
      return true;
    case Kind::kUnion: {
      std::optional<std::string> best;
      for (const Term part : std::vector<Term>(Parts(term).begin(), Parts(term).end())) {
        if (best && best->size() == 1) break;
        std::string way;
        if (!Live(part) || !AppendShortest(part, best ? best->size() - 1 : most, way)) continue;
        best = way;
      }
      if (best) text += *best;
      return best.has_value();
    }
    case Kind::kRepeat: {
      std::string once;
      if (!AppendShortest(Parts(term)[0], most, once)) return false;
      const auto count = static_cast<size_t>(BoundsOf(term).min);
      if (count > most / once.size()) return false;
      Spend(static_cast<int64_t>(once.size() * count / 16));
      for (size_t left = count; left > 0; --left) text += once;
      return true;
    }
    default: {
      const auto way = SearchShortest(term, most);
      if (way) text += *way;
      return way.has_value();
    }
  }
}

std::optional<std::string> Terms::SearchShortest(Term start, size_t most) {
  std::vector<Term> reached{start};
  struct Step {
    Term from;
    uint8_t byte;
  };
  std::unordered_map<Term, Step> came_by{{start, {start, 0}}};
  for (size_t at = 0; at < reached.size(); ++at) {
    const Term term = reached[at];
    for (ByteSet left = FirstBytes(term); !left.IsEmpty();) {
      ByteSet same = ByteSet::All();
      const uint8_t byte = left.First();
      const Term next = Derive(term, byte, same);
      left &= same.Complement();
      if (exhausted_) return std::nullopt;
      if (!came_by.try_emplace(next, Step{term, byte}).second) continue;
      if (Nullable(next)) {
        std::string bytes;
        for (Term back = next; back != start; back = came_by[back].from) {
          bytes.push_back(static_cast<char>(came_by[back].byte));
        }
        std::ranges::reverse(bytes);
        if (bytes.size() > most) return std::nullopt;
        return bytes;
      }
      if (Live(next)) reached.push_back(next);
    }
  }
  FULMEN_CHECK(exhausted_, "a live language has no shortest string");
  return std::nullopt;
}

bool Terms::Matches(Term term, std::string_view text) {
  for (const char byte : text) {
    ByteSet same = ByteSet::All();
    term = Derive(term, static_cast<uint8_t>(byte), same);
  }
  return Nullable(term);
}

}  // namespace fulmen
