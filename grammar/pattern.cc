#include "grammar/pattern.h"

#include <algorithm>
#include <array>
#include <map>

#include "base/check.h"
#include "grammar/pattern_syntax.h"

namespace fulmen {
namespace {

using PatternKind = PatternNode::Kind;

// What a part of a pattern matches depends on where: "^" and "$" match only where the whole text
// begins and ends. So each part is translated for four places: at[starts][ends] is what it matches
// if the text begins where the part does, and ends where it does. All that is matched away from an
// edge is matched at the edge, too; so at[1][e] has all of at[0][e], and unions need not tell a
// part that is at an edge because those beside it are empty from one that is not.
struct Placed {
  std::array<std::array<Term, 2>, 2> at;
};

// What may stand from some place to the end of the text: at[1] if the text begins there, too.
// Look-aheads are intersected with it. Unless `grows`, at[1] may lack some of at[0], as in (?!^a).
struct Rest {
  std::array<Term, 2> at;
  bool grows = true;
};

bool DependsOnPlace(const PatternNode& node) {
  return node.kind == PatternKind::kTextStart || node.kind == PatternKind::kTextEnd ||
         node.kind == PatternKind::kLookAhead || std::ranges::any_of(node.parts, DependsOnPlace);
}

// Takes from the front of a node, or from its back, what need not be there for it to be found: from
// ".*x+y" what leaves "xy". It saves the automaton many states that differ in nothing.
void Trim(PatternNode& node, bool front) {
  if (node.kind == PatternKind::kChoice) {
    for (PatternNode& part : node.parts) Trim(part, front);
  } else if (node.kind == PatternKind::kRepeat && !DependsOnPlace(node)) {
    node.max = node.min;
  } else if (node.kind == PatternKind::kSequence) {
    std::vector<PatternNode>& parts = node.parts;
    const auto is_needed = [](const PatternNode& part) {
      return part.kind != PatternKind::kRepeat || part.min != 0 || DependsOnPlace(part);
    };
    if (front) {
      parts.erase(parts.begin(), std::ranges::find_if(parts, is_needed));
    } else {
      parts.erase(std::find_if(parts.rbegin(), parts.rend(), is_needed).base(), parts.end());
    }
    if (!parts.empty()) Trim(front ? parts.front() : parts.back(), front);
  }
}

class Translator {
 public:
  Translator(Terms& terms, Spelling spelling)
      : terms_(terms),
        spelling_(spelling),
        any_(terms.Star(Character(terms, CodePoints::All(), spelling))) {}

  Term Translate(const PatternNode& pattern, PatternMatch how) {
    if (how == PatternMatch::kWhole) {
      return Before(pattern, {{Terms::kEmpty, Terms::kEmpty}}).at[1];
    }
    PatternNode found = pattern;
    Trim(found, /*front=*/true);
    Trim(found, /*front=*/false);
    return Followed(Everywhere(any_), Before(found, {{any_, any_}})).at[1];
  }

 private:
  static Placed Everywhere(Term term) { return {{{{term, term}, {term, term}}}}; }

  // Each set once, as large ones take long.
  Term CharacterOf(const CodePoints& characters) {
    const auto [at, is_new] = characters_.try_emplace(characters, Terms::kNothing);
    if (is_new) at->second = Character(terms_, characters, spelling_);
    return at->second;
  }
  Placed Place(const PatternNode& node);
  Placed Joined(const Placed& first, const Placed& second);
  Placed Repeated(const Placed& part, int32_t min, int32_t max);
  Rest Before(const PatternNode& node, const Rest& rest);
  Rest Followed(const Placed& part, const Rest& rest);
  Rest LookAhead(const PatternNode& node, const Rest& rest);

  Terms& terms_;
  Spelling spelling_;
  Term any_;  // any text
  std::map<CodePoints, Term> characters_;
};

// A part without look-aheads.
Placed Translator::Place(const PatternNode& node) {
  switch (node.kind) {
    case PatternKind::kCharacter:
      return Everywhere(CharacterOf(node.characters));
    case PatternKind::kTextStart:
      return {{{{Terms::kNothing, Terms::kNothing}, {Terms::kEmpty, Terms::kEmpty}}}};
    case PatternKind::kTextEnd:
      return {{{{Terms::kNothing, Terms::kEmpty}, {Terms::kNothing, Terms::kEmpty}}}};
    case PatternKind::kSequence: {
      Placed whole = Everywhere(Terms::kEmpty);
      for (size_t at = node.parts.size(); at > 0; --at) {
        whole = Joined(Place(node.parts[at - 1]), whole);
      }
      return whole;
    }
    case PatternKind::kChoice: {
      std::array<std::array<std::vector<Term>, 2>, 2> ways;
      for (const PatternNode& part : node.parts) {
        const Placed way = Place(part);
        for (const int s : {0, 1}) {
          for (const int e : {0, 1}) ways[s][e].push_back(way.at[s][e]);
        }
      }
      Placed whole;
      for (const int s : {0, 1}) {
        for (const int e : {0, 1}) whole.at[s][e] = terms_.Union(ways[s][e]);
      }
      return whole;
    }
    case PatternKind::kRepeat:
      return Repeated(Place(node.parts[0]), node.min, node.max);
    case PatternKind::kLookAhead:
      break;
  }
  FULMEN_CHECK(false, "a look-ahead where none is expected");
  return {};
}

// One part and then the other. Where one is empty, the other stands at both edges that they share.
Placed Translator::Joined(const Placed& first, const Placed& second) {
  Placed whole;
  for (const int s : {0, 1}) {
    for (const int e : {0, 1}) {
      const Term apart = terms_.Concat(first.at[s][0], second.at[0][e]);
      const bool first_empty = terms_.Nullable(first.at[s][0]);
      const bool second_empty = terms_.Nullable(second.at[0][e]);
      std::vector<Term> ways;
      // Nothing more is matched at an edge where nothing depends on it.
      const bool first_gains = second_empty && first.at[s][e] != first.at[s][0];
      if (!first_gains || second.at[0][e] != Terms::kEmpty) ways.push_back(apart);
      if (first_gains) ways.push_back(first.at[s][e]);
      if (first_empty && second.at[s][e] != second.at[0][e]) ways.push_back(second.at[s][e]);
      if (terms_.Nullable(first.at[s][e]) && terms_.Nullable(second.at[s][e])) {
        ways.push_back(Terms::kEmpty);
      }
      whole.at[s][e] = terms_.Union(ways);
    }
  }
  return whole;
}

// Of many rounds the first may stand at the start, the last at the end, and one alone at both.
// Rounds that match nothing add nothing but to the count.
Placed Translator::Repeated(const Placed& part, int32_t min, int32_t max) {
  if (part.at == Everywhere(part.at[0][0]).at) {
    return Everywhere(terms_.Repeat(part.at[0][0], min, max));
  }
  if (max == 0) return Everywhere(Terms::kEmpty);
  Placed whole;
  for (const int s : {0, 1}) {
    for (const int e : {0, 1}) {
      std::vector<Term> ways;
      if (min == 0 || terms_.Nullable(part.at[s][e])) ways.push_back(Terms::kEmpty);
      const bool fills = terms_.Nullable(part.at[s][0]) || terms_.Nullable(part.at[0][e]);
      const int32_t least = fills ? 0 : min;
      if (least <= 1) ways.push_back(part.at[s][e]);
      if (max >= 2) {
        const int32_t most_inner = max == Terms::kUnbounded ? max : max - 2;
        const Term inner = terms_.Repeat(part.at[0][0], std::max(least - 2, 0), most_inner);
        ways.push_back(terms_.Concat(std::array{part.at[s][0], inner, part.at[0][e]}));
      }
      whole.at[s][e] = terms_.Union(ways);
    }
  }
  return whole;
}

// The part, and then the rest of the text.
Rest Translator::Before(const PatternNode& node, const Rest& rest) {
  if (!node.looks) return Followed(Place(node), rest);
  if (node.kind == PatternKind::kLookAhead) return LookAhead(node, rest);
  if (node.kind == PatternKind::kSequence) {
    Rest whole = rest;
    for (size_t at = node.parts.size(); at > 0; --at) whole = Before(node.parts[at - 1], whole);
    return whole;
  }
  FULMEN_CHECK(node.kind == PatternKind::kChoice, "a look-ahead where none is expected");
  std::array<std::vector<Term>, 2> ways;
  bool grows = true;
  for (const PatternNode& part : node.parts) {
    const Rest way = Before(part, rest);
    for (const int s : {0, 1}) ways[s].push_back(way.at[s]);
    grows = grows && way.grows;
  }
  return {{terms_.Union(ways[0]), terms_.Union(ways[1])}, grows};
}

Rest Translator::Followed(const Placed& part, const Rest& rest) {
  Rest whole{{}, rest.grows};
  const bool rest_empty = terms_.Nullable(rest.at[0]);
  for (const int s : {0, 1}) {
    Term apart = part.at[s][0];
    Term last = part.at[s][1];
    const bool part_empty = terms_.Nullable(apart);
    if (s == 1 && !rest.grows) {  // what is matched apart may not be where the part is empty
      if (part_empty) apart = terms_.Without(apart, Terms::kEmpty);
      if (terms_.Nullable(last)) last = terms_.Without(last, Terms::kEmpty);
    }
    std::vector<Term> ways;
    const bool gains = rest_empty && last != apart;
    if (!gains || rest.at[0] != Terms::kEmpty) ways.push_back(terms_.Concat(apart, rest.at[0]));
    if (gains) ways.push_back(last);
    if (part_empty && (rest.at[s] != rest.at[0] || !rest.grows)) ways.push_back(rest.at[s]);
    if (terms_.Nullable(part.at[s][1]) && terms_.Nullable(rest.at[s])) {
      ways.push_back(Terms::kEmpty);
    }
    whole.at[s] = terms_.Union(ways);
  }
  return whole;
}

Rest Translator::LookAhead(const PatternNode& node, const Rest& rest) {
  const Rest seen = Before(node.parts[0], {{any_, any_}});
  Rest whole{{}, rest.grows && seen.grows};
  for (const int s : {0, 1}) {
    whole.at[s] = node.negative ? terms_.Without(rest.at[s], seen.at[s])
                                : terms_.Intersect(rest.at[s], seen.at[s]);
  }
  if (node.negative && seen.at[0] != seen.at[1]) whole.grows = false;
  return whole;
}

}  // namespace

Result<Term> ParsePattern(Terms& terms, std::string_view pattern, Spelling spelling,
                          PatternMatch how) {
  FULMEN_ASSIGN(const PatternNode tree, ReadPattern(pattern));
  return Translator(terms, spelling).Translate(tree, how);
}

}  // namespace fulmen
