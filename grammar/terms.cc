#include "grammar/terms.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>

#include "base/check.h"

namespace fulmen {
namespace {

// Parts in parts deeper than this would take too much of a stack. Patterns nest some hundreds deep.
constexpr uint32_t kDeepestTerm = 2'000;

uint64_t HashOf(Terms::Kind kind, std::span<const uint32_t> words) {
  uint64_t hash = static_cast<uint64_t>(kind) + 0x9E3779B97F4A7C15;
  for (const uint32_t word : words) hash = InternTable::Mix(hash, word);
  return hash;
}

}  // namespace

Terms::Terms(size_t limit) : limit_(limit) {
  Intern(Kind::kNothing, FlagsOf(Kind::kNothing, {}), {});
  Intern(Kind::kEmpty, FlagsOf(Kind::kEmpty, {}), {});
  const std::array<uint32_t, 1> nothing{kNothing};
  Intern(Kind::kNot, kNullable | kPlain | kInfinite, nothing);
}

Term Terms::Intern(Kind kind, uint8_t flags, std::span<const uint32_t> words) {
  const auto fresh = static_cast<Term>(nodes_.size());
  const auto is_it = [&](Term term) {
    return nodes_[term].kind == kind && std::ranges::equal(WordsOf(term), words);
  };
  if (nodes_.size() >= limit_) exhausted_ = true;
  Spend(static_cast<int64_t>(words.size()));
  if (exhausted_) return kNothing;
  const Term term = table_.FindOrAdd(HashOf(kind, words), fresh, is_it);
  if (term != fresh) return term;
  nodes_.push_back({kind, flags, Known::kNo, static_cast<uint32_t>(words_.size()),
                    static_cast<uint32_t>(words.size()), 0, 0});
  words_.insert(words_.end(), words.begin(), words.end());
  nodes_[term].first_bytes = IndexOf(FindFirstBytes(term));
  nodes_[term].depth = DepthOf(term);
  if (nodes_[term].depth <= kDeepestTerm) return term;
  exhausted_ = true;
  return kNothing;
}

uint32_t Terms::IndexOf(const ByteSet& bytes) {
  uint64_t hash = 0;
  for (const uint64_t word : bytes.words()) hash = InternTable::Mix(hash, word);
  const auto fresh = static_cast<uint32_t>(byte_sets_.size());
  const uint32_t index =
      byte_set_table_.FindOrAdd(hash, fresh, [&](uint32_t at) { return byte_sets_[at] == bytes; });
  if (index == fresh) byte_sets_.push_back(bytes);
  return index;
}

uint32_t Terms::DepthOf(Term term) const {
  uint32_t depth = 0;
  for (const Term part : Parts(term)) {
    // What is derived in one loop is not deeper for it.
    const bool goes_on = nodes_[term].kind == Kind::kConcat && part == Parts(term)[1] &&
                         nodes_[part].kind == Kind::kConcat;
    depth = std::max(depth, nodes_[part].depth + (goes_on ? 0 : 1));
  }
  return depth;
}

ByteSet Terms::FindFirstBytes(Term term) const {
  const std::span<const Term> parts = Parts(term);
  switch (nodes_[term].kind) {
    case Kind::kNothing:
    case Kind::kEmpty:
      return {};
    case Kind::kBytes:
      return BytesOf(term);
    case Kind::kConcat:
      return Nullable(parts[0]) ? FirstBytes(parts[0]) | FirstBytes(parts[1])
                                : FirstBytes(parts[0]);
    case Kind::kUnion: {
      ByteSet bytes;
      for (const Term part : parts) bytes |= FirstBytes(part);
      return bytes;
    }
    case Kind::kIntersect: {
      ByteSet bytes = ByteSet::All();
      for (const Term part : parts) bytes &= FirstBytes(part);
      return bytes;
    }
    case Kind::kNot:
      return ByteSet::All();
    case Kind::kRepeat:
      return FirstBytes(parts[0]);
    case Kind::kMultiple:
      return ByteSet::Of(".0123456789");
  }
  return {};
}

uint8_t Terms::FlagsOf(Kind kind, std::span<const uint32_t> words) const {
  const auto all = [&](uint8_t flag) {
    return std::ranges::all_of(words, [&](Term part) { return (nodes_[part].flags & flag) != 0; });
  };
  const auto any = [&](uint8_t flag) {
    return std::ranges::any_of(words, [&](Term part) { return (nodes_[part].flags & flag) != 0; });
  };
  const auto flags = [](bool nullable, bool plain, bool finite, bool infinite) {
    return static_cast<uint8_t>((nullable ? kNullable : 0) | (plain ? kPlain : 0) |
                                (finite ? kFinite : 0) | (infinite ? kInfinite : 0));
  };
  // Whether a part is known to have a string: what has infinitely many does.
  const auto surely_live = [&](Term part) {
    return (nodes_[part].flags & (kPlain | kInfinite | kNullable)) != 0;
  };
  switch (kind) {
    case Kind::kNothing:
      return flags(false, true, true, false);
    case Kind::kEmpty:
      return flags(true, true, true, false);
    case Kind::kBytes:
      return flags(false, true, true, false);
    case Kind::kConcat:
      return flags(all(kNullable), all(kPlain), all(kFinite),
                   any(kInfinite) && std::ranges::all_of(words, surely_live));
    case Kind::kUnion:
      return flags(any(kNullable), all(kPlain), all(kFinite), any(kInfinite));
    case Kind::kIntersect: {
      // An infinite language less finitely many strings stays infinite.
      const auto lacks_few = [&](Term part) {
        return nodes_[part].kind == Kind::kNot && KnownFinite(Parts(part)[0]);
      };
      const auto others = words.size() - std::ranges::count_if(words, lacks_few);
      const bool infinite = others <= 1 && std::ranges::all_of(words, [&](Term part) {
                              return lacks_few(part) || KnownInfinite(part);
                            });
      return flags(all(kNullable), false, any(kFinite), infinite);
    }
    case Kind::kNot:
      return flags(!any(kNullable), false, false, all(kFinite));
    case Kind::kRepeat: {
      const Term part = words[0];
      const bool unbounded = words[2] == static_cast<uint32_t>(kUnbounded);
      return flags(words[1] == 0 || Nullable(part), (nodes_[part].flags & kPlain) != 0,
                   !unbounded && KnownFinite(part),
                   KnownInfinite(part) || (unbounded && (nodes_[part].flags & kPlain) != 0));
    }
    case Kind::kMultiple: {
      uint64_t rest = words[kRemainder];
      for (uint32_t left = words[kDecimalsLeft]; left > 0; --left) {
        rest = rest * 10 % words[kDivisor];
      }
      return flags(rest % words[kDivisor] == 0, false, false, false);
    }
  }
  return 0;
}

std::span<const Term> Terms::Parts(Term term) const {
  const std::span<const uint32_t> words = WordsOf(term);
  switch (nodes_[term].kind) {
    case Kind::kConcat:
    case Kind::kUnion:
    case Kind::kIntersect:
    case Kind::kNot:
      return words;
    case Kind::kRepeat:
      return words.first(1);
    default:
      return {};
  }
}

const ByteSet& Terms::BytesOf(Term term) const {
  FULMEN_CHECK(nodes_[term].kind == Kind::kBytes, "term {} is no set of bytes", term);
  return byte_sets_[words_[nodes_[term].begin]];
}

Terms::Bounds Terms::BoundsOf(Term term) const {
  FULMEN_CHECK(nodes_[term].kind == Kind::kRepeat, "term {} does not repeat", term);
  const std::span<const uint32_t> words = WordsOf(term);
  return {static_cast<int32_t>(words[1]), static_cast<int32_t>(words[2])};
}

Term Terms::Bytes(const ByteSet& bytes) {
  if (bytes.IsEmpty()) return kNothing;
  const std::array<uint32_t, 1> words{IndexOf(bytes)};
  return Intern(Kind::kBytes, FlagsOf(Kind::kBytes, {}), words);
}

Term Terms::Literal(std::string_view bytes) {
  Term term = kEmpty;
  for (size_t at = bytes.size(); at > 0; --at) {
    term = Concat(Bytes(ByteSet::Of(static_cast<uint8_t>(bytes[at - 1]))), term);
  }
  return term;
}

bool Terms::IsStar(Term term) const {
  if (nodes_[term].kind != Kind::kRepeat) return false;
  const Bounds bounds = BoundsOf(term);
  return bounds.min == 0 && bounds.max == kUnbounded;
}

Term Terms::Concat(Term first, Term second) {
  if (first == kNothing || second == kNothing) return kNothing;
  if (second == kEmpty) return first;
  // Concatenations lean to the right, so that equal ones look alike.
  const size_t begin = parts_.size();
  for (; nodes_[first].kind == Kind::kConcat; first = Parts(first)[1]) {
    parts_.push_back(Parts(first)[0]);
  }
  if (first != kEmpty) parts_.push_back(first);
  for (; parts_.size() > begin; parts_.pop_back()) {
    const Term next = nodes_[second].kind == Kind::kConcat ? Parts(second)[0] : second;
    if (next == parts_.back() && IsStar(next)) continue;  // a*a* is a*
    const std::array<uint32_t, 2> words{parts_.back(), second};
    second = Intern(Kind::kConcat, FlagsOf(Kind::kConcat, words), words);
  }
  return second;
}

Term Terms::Concat(std::span<const Term> parts) {
  Term term = kEmpty;
  for (size_t at = parts.size(); at > 0; --at) term = Concat(parts[at - 1], term);
  return term;
}

// Parts of parts, in rising order and each once, sets of bytes made one. False if one of them takes
// all: any text of a union, none of an intersection.
bool Terms::Normalise(Kind kind, size_t begin) {
  const bool is_union = kind == Kind::kUnion;
  const Term zero = is_union ? kEverything : kNothing;
  const Term one = is_union ? kNothing : kEverything;
  ByteSet bytes = is_union ? ByteSet() : ByteSet::All();
  bool has_bytes = false;
  size_t end = begin;
  const auto keep = [&](Term part) {
    if (nodes_[part].kind == Kind::kBytes) {
      has_bytes = true;
      is_union ? bytes |= BytesOf(part) : bytes &= BytesOf(part);
    } else if (part != one) {
      parts_[end++] = part;
    }
  };
  // Parts of parts go behind the others, which come first.
  const size_t given = parts_.size();
  for (size_t at = begin; at < given; ++at) {
    const Term part = parts_[at];
    if (part == zero) return false;
    if (nodes_[part].kind == kind) {
      const std::span<const Term> inner = Parts(part);
      parts_.insert(parts_.end(), inner.begin(), inner.end());
    } else {
      keep(part);
    }
  }
  for (size_t at = given; at < parts_.size(); ++at) keep(parts_[at]);
  Spend(static_cast<int64_t>(parts_.size() - begin));
  parts_.resize(end);
  if (has_bytes) {
    const Term together = Bytes(bytes);
    if (together == zero) return false;
    if (together != one) parts_.push_back(together);
  }
  const auto first = parts_.begin() + static_cast<std::ptrdiff_t>(begin);
  std::sort(first, parts_.end());
  parts_.erase(std::unique(first, parts_.end()), parts_.end());
  const auto contradicts = [&](Term part) {
    return nodes_[part].kind == Kind::kNot &&
           std::binary_search(first, parts_.end(), Parts(part)[0]);
  };
  return std::none_of(first, parts_.end(), contradicts);
}

Term Terms::Gather(Kind kind, size_t begin) {
  const bool is_union = kind == Kind::kUnion;
  Term term = is_union ? kEverything : kNothing;
  if (Normalise(kind, begin)) {
    std::span<const Term> parts(parts_.data() + begin, parts_.size() - begin);
    const auto nullable = [this](Term part) { return Nullable(part); };
    const bool has_empty = parts.size() > 1 && parts[0] == kEmpty;
    if (has_empty && is_union && std::ranges::any_of(parts.subspan(1), nullable)) {
      parts = parts.subspan(1);
    }
    if (has_empty && !is_union) {
      term = std::ranges::all_of(parts, nullable) ? kEmpty : kNothing;
    } else if (parts.size() > 1) {
      term = Intern(kind, FlagsOf(kind, parts), parts);
    } else {
      term = parts.empty() ? (is_union ? kNothing : kEverything) : parts[0];
    }
  }
  parts_.resize(begin);
  return term;
}

Term Terms::Union(std::span<const Term> parts) {
  const size_t begin = parts_.size();
  parts_.insert(parts_.end(), parts.begin(), parts.end());
  return Gather(Kind::kUnion, begin);
}

Term Terms::Union(Term a, Term b) { return Union(std::array{a, b}); }

Term Terms::Intersect(std::span<const Term> parts) {
  const size_t begin = parts_.size();
  parts_.insert(parts_.end(), parts.begin(), parts.end());
  return Gather(Kind::kIntersect, begin);
}

Term Terms::Intersect(Term a, Term b) { return Intersect(std::array{a, b}); }

Term Terms::Not(Term term) {
  if (term == kNothing) return kEverything;
  if (nodes_[term].kind == Kind::kNot) return Parts(term)[0];
  const std::array<uint32_t, 1> words{term};
  return Intern(Kind::kNot, FlagsOf(Kind::kNot, words), words);
}

Term Terms::Repeat(Term term, int32_t min, int32_t max) {
  FULMEN_CHECK(0 <= min && min <= max, "{} to {} times", min, max);
  if (max == 0 || term == kEmpty) return kEmpty;
  if (term == kNothing) return min == 0 ? kEmpty : kNothing;
  if (min == 1 && max == 1) return term;
  if (Nullable(term)) min = 0;
  if (nodes_[term].kind == Kind::kRepeat && max == kUnbounded && min <= 1) {
    const auto [inner_min, inner_max] = BoundsOf(term);
    if (inner_max == kUnbounded && inner_min <= 1) {  // (a*)+ and its like
      return Repeat(Parts(term)[0], std::min(min, inner_min), kUnbounded);
    }
  }
  const std::array<uint32_t, 3> words{term, static_cast<uint32_t>(min), static_cast<uint32_t>(max)};
  return Intern(Kind::kRepeat, FlagsOf(Kind::kRepeat, words), words);
}

Term Terms::Multiple(int64_t divisor, int32_t decimals) {
  FULMEN_CHECK(divisor > 0 && divisor <= 1'000'000'000 && decimals >= 0, "multiples of {} / 10^{}",
               divisor, decimals);
  std::array<uint32_t, kMultipleWords> words{};
  words[kDivisor] = static_cast<uint32_t>(divisor);
  words[kDecimalsLeft] = static_cast<uint32_t>(decimals);
  return Intern(Kind::kMultiple, FlagsOf(Kind::kMultiple, words), words);
}

std::vector<Term> Terms::Import(const Terms& other, std::span<const Term> terms, size_t shared) {
  std::vector<Term> open(terms.begin(), terms.end());
  std::map<Term, Term> here;  // in rising order, in which parts come before what they are part of
  while (!open.empty()) {
    const Term term = open.back();
    open.pop_back();
    if (term < shared || !here.try_emplace(term, kNothing).second) continue;
    const std::span<const Term> parts = other.Parts(term);
    open.insert(open.end(), parts.begin(), parts.end());
  }
  const auto find = [&](Term term) { return term < shared ? term : here.at(term); };
  for (auto& [term, copy] : here) {
    const Node& node = other.nodes_[term];
    if (node.kind == Kind::kBytes) {
      copy = Bytes(other.BytesOf(term));
      continue;
    }
    std::vector<uint32_t> words(other.WordsOf(term).begin(), other.WordsOf(term).end());
    const size_t parts = other.Parts(term).size();
    std::transform(words.begin(), words.begin() + parts, words.begin(), find);
    if (node.kind == Kind::kUnion || node.kind == Kind::kIntersect) std::ranges::sort(words);
    copy = Intern(node.kind, node.flags, words);
  }
  std::vector<Term> copies;
  std::ranges::transform(terms, std::back_inserter(copies), find);
  return copies;
}

size_t Terms::MemoryBytes() const {
  return nodes_.capacity() * sizeof(Node) + words_.capacity() * sizeof(uint32_t) +
         byte_sets_.capacity() * sizeof(ByteSet) + table_.MemoryBytes() +
         byte_set_table_.MemoryBytes();
}

}  // namespace fulmen
