// Regular languages over bytes, as terms: union, intersection, complement, concatenation and
// counted repetition of sets of bytes. A language is matched by deriving it, byte by byte: the
// derivative of L by b is what must follow b for the whole to be in L (Brzozowski, "Derivatives of
// Regular Expressions", JACM 1964; Owens, Reppy and Turon, "Regular-expression derivatives
// re-examined", JFP 2009). So terms are the states of an automaton that is made as it is walked, a
// count of 500,000 costs as much as one of 5, and "a string, but none of these" needs no
// construction of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/byte_set.h"
#include "grammar/intern_table.h"

namespace fulmen {

// A language of its Terms. Equal terms are equal languages; the converse holds only for what the
// constructors below simplify.
using Term = uint32_t;

// The terms of one grammar, each kept once. Not thread safe. Copying copies all terms, which keep
// their numbers.
class Terms {
 public:
  static constexpr Term kNothing = 0;     // no string at all
  static constexpr Term kEmpty = 1;       // the empty string
  static constexpr Term kEverything = 2;  // any bytes
  static constexpr int32_t kUnbounded = INT32_MAX;

  // More than `limit` terms are never made: what goes past it is kNothing, and exhausted() from
  // then on. Whoever builds terms asks for it before he uses them.
  explicit Terms(size_t limit = size_t{1} << 20);

  Term Bytes(const ByteSet& bytes);  // one byte of these
  Term Literal(std::string_view bytes);
  Term Concat(Term first, Term second);
  Term Concat(std::span<const Term> parts);
  Term Union(std::span<const Term> parts);
  Term Union(Term a, Term b);
  Term Intersect(std::span<const Term> parts);
  Term Intersect(Term a, Term b);
  Term Not(Term term);
  Term Without(Term term, Term other) { return Intersect(term, Not(other)); }
  // At least `min` and at most `max` (or kUnbounded) times.
  Term Repeat(Term term, int32_t min, int32_t max);
  Term Optional(Term term) { return Repeat(term, 0, 1); }
  Term Star(Term term) { return Repeat(term, 0, kUnbounded); }
  // Digits, with a point before the last `decimals` of them or fewer, whose value is a multiple of
  // divisor / 10^decimals. What other digits may follow, and how many before the point, is left to
  // whom this is intersected with; zeros that follow are counted as nothing. 0 < divisor <= 10^9.
  Term Multiple(int64_t divisor, int32_t decimals);

  // Whether the empty string is in it.
  bool Nullable(Term term) const { return (nodes_[term].flags & kNullable) != 0; }
  // What may follow `byte`. `same` loses the bytes for which the answer is another; `byte` is never
  // one of them.
  Term Derive(Term term, uint8_t byte, ByteSet& same);
  // Whether any string is in it. Searches where intersections and complements leave no other way;
  // what a search learnt is kept. A search too long exhausts the terms.
  bool Live(Term start);
  // A shortest string of it, which must be live; nullopt if it has more than `most` bytes or takes
  // too long to find, which exhausts the terms.
  std::optional<std::string> Shortest(Term term, size_t most);
  // Whether `text` is in it.
  bool Matches(Term term, std::string_view text);
  // Bytes that some string of it may begin with: a superset where complements hide which.
  const ByteSet& FirstBytes(Term term) const { return byte_sets_[nodes_[term].first_bytes]; }

  // True: there are finitely many strings in it, infinitely many. Both false: not known.
  bool KnownFinite(Term term) const { return (nodes_[term].flags & kFinite) != 0; }
  bool KnownInfinite(Term term) const { return (nodes_[term].flags & kInfinite) != 0; }

  // What a term is made of, for whoever looks at its shape.
  enum class Kind : uint8_t {
    kNothing,
    kEmpty,
    kBytes,
    kConcat,     // two parts: the first is no concatenation
    kUnion,      // two or more, in rising order
    kIntersect,  // two or more, in rising order
    kNot,        // one
    kRepeat,     // one; see Bounds
    kMultiple,
  };
  Kind KindOf(Term term) const { return nodes_[term].kind; }
  std::span<const Term> Parts(Term term) const;
  const ByteSet& BytesOf(Term term) const;  // of a kBytes
  struct Bounds {
    int32_t min;
    int32_t max;
  };
  Bounds BoundsOf(Term term) const;  // of a kRepeat

  // The same languages here as `terms` in `other`, which began as a copy of what these began as:
  // the first `shared` terms are the same in both.
  std::vector<Term> Import(const Terms& other, std::span<const Term> terms, size_t shared);

  // From now on work may take so many steps, each of some ten nanoseconds; then the terms are
  // exhausted. A search or a walk for whoever asked must not cost others their time.
  void Allow(int64_t steps) { steps_left_ = steps; }
  // Counts steps that were taken elsewhere for the same question.
  void Spend(int64_t steps) {
    steps_left_ -= steps;
    if (steps_left_ < 0) exhausted_ = true;
  }
  void GiveUp() { exhausted_ = true; }
  // So many terms more than there are now may be made.
  void MakeRoom(size_t terms) { limit_ = size() + terms; }

  size_t size() const { return nodes_.size(); }
  bool exhausted() const { return exhausted_; }
  // Bytes of memory held.
  size_t MemoryBytes() const;

 private:
  enum Flags : uint8_t {
    kNullable = 1,
    kPlain = 2,  // without complements, intersections and multiples: live unless kNothing
    kFinite = 4,
    kInfinite = 8,
  };
  enum class Known : uint8_t { kNo, kLive, kDead };
  struct Node {
    Kind kind;
    uint8_t flags;
    Known known;
    uint32_t begin;  // of its words
    uint32_t count;
    uint32_t depth;        // of parts in parts, as deep as deriving goes
    uint32_t first_bytes;  // an index of byte_sets_
  };
  // The words of a kMultiple: the divisor, what is left over by the digits so far, and how many
  // more may follow the point, which has come or not.
  enum : size_t { kDivisor, kRemainder, kDecimalsLeft, kAfterPoint, kMultipleWords };

  Term Intern(Kind kind, uint8_t flags, std::span<const uint32_t> words);
  uint8_t FlagsOf(Kind kind, std::span<const uint32_t> words) const;
  uint32_t DepthOf(Term term) const;
  ByteSet FindFirstBytes(Term term) const;
  uint32_t IndexOf(const ByteSet& bytes);
  std::span<const uint32_t> WordsOf(Term term) const {
    return {words_.data() + nodes_[term].begin, nodes_[term].count};
  }
  bool IsStar(Term term) const;  // its part any number of times
  // The union or intersection of what was put onto `parts_` since it had `begin` terms; takes it
  // from there.
  Term Gather(Kind kind, size_t begin);
  bool Normalise(Kind kind, size_t begin);
  Term DeriveConcat(Term term, uint8_t byte, ByteSet& same);
  Term DeriveMultiple(Term term, uint8_t byte, ByteSet& same);
  Known KnownOf(Term term) const;
  bool Search(Term start);
  bool AppendShortest(Term term, size_t most, std::string& text);
  std::optional<std::string> SearchShortest(Term start, size_t most);

  size_t limit_;
  bool exhausted_ = false;
  int64_t steps_left_ = INT64_MAX;
  std::vector<Node> nodes_;
  std::vector<uint32_t> words_;
  std::vector<ByteSet> byte_sets_;  // each once; the one word of a kBytes is an index of these
  InternTable byte_set_table_;
  InternTable table_;
  std::vector<Term> parts_;  // a stack of parts under way, so that deriving allocates nothing
};

}  // namespace fulmen
