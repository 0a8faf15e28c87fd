#include "grammar/numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>

namespace fulmen {
namespace {

// digits[0] . digits[1] digits[2] … times 10^exponent; zero has no digits. The first and the last
// digit are not 0.
struct Decimal {
  bool negative = false;
  std::string digits;
  int64_t exponent = 0;

  std::string Whole() const {  // digits before the point
    if (digits.empty() || exponent < 0) return "0";
    std::string whole = digits.substr(0, exponent + 1);
    whole.resize(exponent + 1, '0');
    return whole;
  }
  std::string Fraction() const {  // and behind it
    if (digits.empty()) return "";
    if (exponent < 0) return std::string(-exponent - 1, '0') + digits;
    return exponent + 1 < static_cast<int64_t>(digits.size()) ? digits.substr(exponent + 1) : "";
  }
};

Decimal DecimalOf(const Json& value) {
  std::string text = value.dump();
  Decimal decimal;
  if (text[0] == '-') {
    decimal.negative = true;
    text.erase(0, 1);
  }
  int64_t exponent = 0;
  if (const size_t e = text.find_first_of("eE"); e != std::string::npos) {
    exponent = std::stoll(text.substr(e + 1));
    text.resize(e);
  }
  const size_t point = std::min(text.find('.'), text.size());
  decimal.digits = text;
  if (point < text.size()) decimal.digits.erase(point, 1);
  const size_t first = decimal.digits.find_first_not_of('0');
  if (first == std::string::npos) return {};
  decimal.exponent = exponent + static_cast<int64_t>(point) - 1 - static_cast<int64_t>(first);
  decimal.digits.erase(0, first);
  decimal.digits.erase(decimal.digits.find_last_not_of('0') + 1);
  return decimal;
}

// Of the sizes, without signs: -1, 0 or 1.
int CompareSizes(const Decimal& a, const Decimal& b) {
  if (a.digits.empty() || b.digits.empty()) {
    return static_cast<int>(!a.digits.empty()) - static_cast<int>(!b.digits.empty());
  }
  if (a.exponent != b.exponent) return a.exponent < b.exponent ? -1 : 1;
  const int order = a.digits.compare(b.digits);
  return order < 0 ? -1 : order > 0 ? 1 : 0;
}

int Compare(const Decimal& a, const Decimal& b) {
  if (a.negative != b.negative) return a.negative ? -1 : 1;
  return a.negative ? CompareSizes(b, a) : CompareSizes(a, b);
}

struct Bound {
  Decimal value;
  bool open = false;
};

// Sizes (numbers without a sign) in a range, as text.
class Sizes {
 public:
  Sizes(Terms& terms, bool whole) : terms_(terms), whole_(whole) {}

  Term All() { return terms_.Concat(Whole(), Tail()); }
  // Plain decimals.
  Term AtMost(const Bound& bound);
  Term AtLeast(const Bound& bound);
  // The same with exponents, as Python writes them.
  Term AllWithExponent() { return terms_.Concat(Mantissa(), ExponentFrom(kLowest, kHighest)); }
  Term AtMostWithExponent(const Bound& bound);
  Term AtLeastWithExponent(const Bound& bound);

 private:
  static constexpr int64_t kLowest = -324;
  static constexpr int64_t kHighest = 308;

  Term Digits(char first, char last) {
    if (first > last) return Terms::kNothing;
    return terms_.Bytes(ByteSet::Range(static_cast<uint8_t>(first), static_cast<uint8_t>(last)));
  }
  Term AnyDigits(int32_t min, int32_t max) { return terms_.Repeat(Digits('0', '9'), min, max); }
  Term Zeros(int32_t min) { return terms_.Repeat(Digits('0', '0'), min, Terms::kUnbounded); }
  Term Point(Term digits) { return terms_.Concat(terms_.Literal("."), digits); }
  Term Whole() {
    return terms_.Union(Digits('0', '0'),
                        terms_.Concat(Digits('1', '9'), AnyDigits(0, Terms::kUnbounded)));
  }
  // What may stand behind digits that settle the matter: any fraction, or none that counts.
  Term Tail() {
    return terms_.Optional(Point(whole_ ? Zeros(1) : AnyDigits(1, Terms::kUnbounded)));
  }
  // Whole numbers of as many digits as `than`, all smaller or all larger, and its digits themselves
  // if it is followed by `equal`.
  Term SameLength(const std::string& than, bool smaller, Term settled, Term equal);
  Term FractionAtMost(const std::string& fraction, bool open);
  Term FractionAtLeast(const std::string& fraction, bool open);
  // [1-9](.d{1,16})?
  Term Mantissa() {
    return terms_.Concat(Digits('1', '9'), terms_.Optional(Point(AnyDigits(1, 16))));
  }
  Term ExponentFrom(int64_t first, int64_t last);

  Terms& terms_;
  bool whole_;  // only whole numbers are meant
};

Term Sizes::SameLength(const std::string& than, bool smaller, Term settled, Term equal) {
  Term term = equal;
  for (size_t at = than.size(); at > 0; --at) {
    const char digit = than[at - 1];
    const char lowest = at == 1 && than.size() > 1 ? '1' : '0';
    const Term other = smaller ? Digits(lowest, static_cast<char>(digit - 1))
                               : Digits(static_cast<char>(digit + 1), '9');
    const auto left = static_cast<int32_t>(than.size() - at);
    term = terms_.Union(terms_.Concat(std::vector{other, AnyDigits(left, left), settled}),
                        terms_.Concat(Digits(digit, digit), term));
  }
  return term;
}

// Digits behind the point, one at least.
Term Sizes::FractionAtMost(const std::string& fraction, bool open) {
  Term term = open ? Terms::kNothing : Zeros(0);
  for (size_t index = fraction.size(); index > 0; --index) {
    const char digit = fraction[index - 1];
    term = terms_.Union(std::vector{
        terms_.Concat(Digits('0', static_cast<char>(digit - 1)), AnyDigits(0, Terms::kUnbounded)),
        terms_.Concat(Digits(digit, digit), term), index > 1 ? Terms::kEmpty : Terms::kNothing});
  }
  return term;
}

Term Sizes::FractionAtLeast(const std::string& fraction, bool open) {
  const Term any = AnyDigits(0, Terms::kUnbounded);
  Term term = open ? terms_.Concat(std::vector{Zeros(0), Digits('1', '9'), any}) : any;
  for (size_t index = fraction.size(); index > 0; --index) {
    const char digit = fraction[index - 1];
    term = terms_.Union(terms_.Concat(Digits(static_cast<char>(digit + 1), '9'), any),
                        terms_.Concat(Digits(digit, digit), term));
  }
  return term;
}

Term Sizes::AtMost(const Bound& bound) {
  const std::string whole = bound.value.Whole();
  const std::string fraction = bound.value.Fraction();
  Term equal = Terms::kNothing;
  if (whole_) {
    if (!fraction.empty() || !bound.open) equal = Tail();
  } else if (fraction.empty()) {
    if (!bound.open) equal = terms_.Optional(Point(Zeros(1)));
  } else {
    equal = terms_.Optional(Point(FractionAtMost(fraction, bound.open)));
  }
  Term term = SameLength(whole, true, Tail(), equal);
  if (whole.size() > 1) {
    const Term shorter = terms_.Union(
        Digits('0', '0'),
        terms_.Concat(Digits('1', '9'), AnyDigits(0, static_cast<int32_t>(whole.size()) - 2)));
    term = terms_.Union(term, terms_.Concat(shorter, Tail()));
  }
  return term;
}

Term Sizes::AtLeast(const Bound& bound) {
  const std::string whole = bound.value.Whole();
  const std::string fraction = bound.value.Fraction();
  Term equal = Terms::kNothing;
  if (whole_) {
    if (fraction.empty() && !bound.open) equal = Tail();
  } else {
    const bool alone = fraction.empty() && !bound.open;
    Term digits = FractionAtLeast(fraction, bound.open);
    if (alone) digits = AnyDigits(1, Terms::kUnbounded);
    equal = alone ? terms_.Optional(Point(digits)) : Point(digits);
  }
  const Term longer = terms_.Concat(std::vector{
      Digits('1', '9'), AnyDigits(static_cast<int32_t>(whole.size()), Terms::kUnbounded), Tail()});
  return terms_.Union(SameLength(whole, false, Tail(), equal), longer);
}

// "e+16" to "e+308" and "e-05" to "e-324", as far as they lie in the range.
Term Sizes::ExponentFrom(int64_t first, int64_t last) {
  std::vector<Term> ways;
  for (const bool negative : {false, true}) {
    if (negative && whole_) continue;
    const int64_t low = std::max<int64_t>(negative ? -last : first, negative ? 5 : 16);
    const int64_t high =
        std::min<int64_t>(negative ? -first : last, negative ? -kLowest : kHighest);
    std::vector<Term> numbers;
    for (int64_t exponent = low; exponent <= high; ++exponent) {
      numbers.push_back(terms_.Literal(fmt::format("{:02}", exponent)));
    }
    ways.push_back(terms_.Concat(terms_.Literal(negative ? "e-" : "e+"), terms_.Union(numbers)));
  }
  return terms_.Union(ways);
}

Term Sizes::AtMostWithExponent(const Bound& bound) {
  if (bound.value.digits.empty()) return Terms::kNothing;
  const int64_t exponent = bound.value.exponent;
  const Bound mantissa{{false, bound.value.digits, 0}, bound.open};
  const Term below = terms_.Concat(Mantissa(), ExponentFrom(kLowest, exponent - 1));
  const Term at = ExponentFrom(exponent, exponent);
  if (at == Terms::kNothing) return below;
  const Term small = terms_.Intersect(Sizes(terms_, false).AtMost(mantissa), Mantissa());
  return terms_.Union(below, terms_.Concat(small, at));
}

Term Sizes::AtLeastWithExponent(const Bound& bound) {
  if (bound.value.digits.empty()) return AllWithExponent();
  const int64_t exponent = bound.value.exponent;
  const Bound mantissa{{false, bound.value.digits, 0}, bound.open};
  const Term above = terms_.Concat(Mantissa(), ExponentFrom(exponent + 1, kHighest));
  const Term at = ExponentFrom(exponent, exponent);
  if (at == Terms::kNothing) return above;
  const Term large = terms_.Intersect(Sizes(terms_, false).AtLeast(mantissa), Mantissa());
  return terms_.Union(above, terms_.Concat(large, at));
}

// The tightest of the bounds; nullopt if there is none.
std::optional<Bound> Tightest(const std::vector<NumberFacts::Bound>& bounds, bool lower) {
  std::optional<Bound> tightest;
  for (const NumberFacts::Bound& next : bounds) {
    const Bound bound{DecimalOf(next.value), next.open};
    const int order = tightest ? Compare(bound.value, tightest->value) : (lower ? 1 : -1);
    if (order == (lower ? 1 : -1)) tightest = bound;
    if (order == 0) tightest->open = tightest->open || bound.open;
  }
  return tightest;
}

// Sizes from `low` to `high` where they are given.
Term SizesBetween(Terms& terms, const std::optional<Bound>& low, const std::optional<Bound>& high,
                  bool whole, bool exponents) {
  Sizes sizes(terms, whole);
  const bool from_zero = !low || (low->value.digits.empty() && !low->open);
  Term plain = high ? sizes.AtMost(*high) : sizes.All();
  Term with_exponent = high ? sizes.AtMostWithExponent(*high) : sizes.AllWithExponent();
  if (!from_zero) {
    const Term at_least = sizes.AtLeast(*low);
    plain = high ? terms.Intersect(plain, at_least) : at_least;
    if (exponents) with_exponent = terms.Intersect(with_exponent, sizes.AtLeastWithExponent(*low));
  }
  return exponents ? terms.Union(plain, with_exponent) : plain;
}

// Texts in a range. A side is that of the numbers with one sign.
Term InRange(Terms& terms, const std::optional<Bound>& lower, const std::optional<Bound>& upper,
             bool whole, bool exponents) {
  std::vector<Term> ways;
  for (const bool negative : {false, true}) {
    // As sizes: of negative numbers the upper bound is the lower one.
    std::optional<Bound> low = negative ? upper : lower;
    std::optional<Bound> high = negative ? lower : upper;
    const auto is_beyond = [&](const Bound& bound) {  // on the other side of zero
      return !bound.value.digits.empty() && bound.value.negative != negative;
    };
    if (high && (is_beyond(*high) || (high->value.digits.empty() && high->open))) continue;
    if (low && is_beyond(*low)) low.reset();
    const Term sizes = SizesBetween(terms, low, high, whole, exponents);
    ways.push_back(negative ? terms.Concat(terms.Literal("-"), sizes) : sizes);
  }
  return terms.Union(ways);
}

struct Divisor {
  int64_t value;
  int32_t decimals;
};
std::optional<Divisor> DivisorOf(const Json& multiple) {
  const Decimal decimal = DecimalOf(multiple);
  std::string digits = decimal.digits;
  const int64_t decimals = static_cast<int64_t>(digits.size()) - 1 - decimal.exponent;
  if (digits.empty() || decimal.negative || decimals > 9 || decimals < -9) return std::nullopt;
  if (decimals < 0) digits.append(static_cast<size_t>(-decimals), '0');
  if (digits.size() > 9) return std::nullopt;
  return Divisor{std::stoll(digits), static_cast<int32_t>(std::max<int64_t>(decimals, 0))};
}

Term MultipleTerm(Terms& terms, const Json& multiple) {
  const Divisor divisor = *DivisorOf(multiple);
  return terms.Concat(terms.Optional(terms.Literal("-")),
                      terms.Multiple(divisor.value, divisor.decimals));
}

}  // namespace

bool CanTellMultiplesOf(const Json& value) { return DivisorOf(value).has_value(); }

Term PlainNumber(Terms& terms) {
  return terms.Concat(terms.Optional(terms.Literal("-")), Sizes(terms, false).All());
}

Term AnyNumber(Terms& terms) {
  const Term digits = terms.Repeat(terms.Bytes(ByteSet::Range('0', '9')), 1, Terms::kUnbounded);
  const Term exponent = terms.Concat(std::vector{
      terms.Bytes(ByteSet::Of("eE")), terms.Optional(terms.Bytes(ByteSet::Of("+-"))), digits});
  return terms.Concat(PlainNumber(terms), terms.Optional(exponent));
}

Term NumberTerm(Terms& terms, const NumberFacts& facts) {
  const auto is_one = [](const Json& value) { return value == 1; };
  const bool whole = std::ranges::any_of(facts.multiple_of, is_one);
  std::vector<Json> multiples = facts.multiple_of;
  std::vector<Json> not_multiples = facts.not_multiple_of;
  std::erase_if(multiples, is_one);
  const bool not_whole = std::erase_if(not_multiples, is_one) > 0;
  const std::optional<Bound> lower = Tightest(facts.lower, true);
  const std::optional<Bound> upper = Tightest(facts.upper, false);
  const bool plain = !multiples.empty() || !not_multiples.empty();
  if (!lower && !upper && !whole && !not_whole && !plain) return AnyNumber(terms);
  if (lower && upper && Compare(lower->value, upper->value) > 0) return Terms::kNothing;
  std::vector<Term> parts{InRange(terms, lower, upper, whole, !plain)};
  if (not_whole) parts.push_back(terms.Not(InRange(terms, {}, {}, true, true)));
  for (const Json& multiple : multiples) parts.push_back(MultipleTerm(terms, multiple));
  for (const Json& multiple : not_multiples) {
    parts.push_back(terms.Not(MultipleTerm(terms, multiple)));
  }
  return terms.Intersect(parts);
}

Term NumberEqualTo(Terms& terms, const Json& value) {
  const Decimal decimal = DecimalOf(value);
  const std::string fraction = decimal.Fraction();
  const Term zero = terms.Literal("0");
  const Term zeros = terms.Star(zero);
  const Term sign = decimal.digits.empty() ? terms.Optional(terms.Literal("-"))
                                           : terms.Literal(decimal.negative ? "-" : "");
  const Term tail = fraction.empty()
                        ? terms.Optional(terms.Concat(std::vector{terms.Literal("."), zero, zeros}))
                        : terms.Concat(terms.Literal(fmt::format(".{}", fraction)), zeros);
  std::vector<Term> ways{terms.Concat(std::vector{sign, terms.Literal(decimal.Whole()), tail})};
  if (!decimal.digits.empty() && (decimal.exponent >= 16 || decimal.exponent <= -5)) {
    const std::string_view digits = decimal.digits;
    ways.push_back(terms.Literal(fmt::format("{}{}{}{}e{}{:02}", decimal.negative ? "-" : "",
                                             digits.substr(0, 1), digits.size() > 1 ? "." : "",
                                             digits.substr(1), decimal.exponent < 0 ? '-' : '+',
                                             std::abs(decimal.exponent))));
  }
  return terms.Union(ways);
}

}  // namespace fulmen
