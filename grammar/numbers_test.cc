#include "grammar/numbers.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/json.h"
#include "base/random.h"

namespace fulmen {
namespace {

// An exact number: "0." digits times 10^exponent; zero has no digits.
struct Exact {
  bool negative = false;
  std::string digits;
  int64_t exponent = 0;
};

Exact ExactOf(std::string text) {
  Exact exact;
  exact.negative = text.starts_with('-');
  if (exact.negative) text.erase(0, 1);
  if (const size_t e = text.find('e'); e != std::string::npos) {
    exact.exponent = std::stoll(text.substr(e + 1));
    text.erase(e);
  }
  size_t point = text.find('.');
  if (point == std::string::npos) point = text.size();
  exact.exponent += static_cast<int64_t>(point);
  std::erase(text, '.');
  while (text.ends_with('0')) text.pop_back();
  while (text.starts_with('0')) {
    text.erase(0, 1);
    --exact.exponent;
  }
  if (text.empty()) return {};
  exact.digits = text;
  return exact;
}

int Compare(const Exact& a, const Exact& b) {
  const auto sign = [](const Exact& it) { return it.digits.empty() ? 0 : it.negative ? -1 : 1; };
  if (sign(a) != sign(b)) return sign(a) < sign(b) ? -1 : 1;
  if (sign(a) == 0) return 0;
  int order = a.digits < b.digits ? -1 : a.digits > b.digits ? 1 : 0;
  if (a.exponent != b.exponent) order = a.exponent < b.exponent ? -1 : 1;
  return order * sign(a);
}

// Digits are counted up to the ninth behind the point.
bool IsMultiple(const Exact& number, const Exact& of) {
  if (number.exponent + 9 < static_cast<int64_t>(number.digits.size())) return false;
  const auto rest = [](const Exact& exact, int64_t divisor) {
    int64_t value = 0;
    for (int64_t at = 0; at < exact.exponent + 9; ++at) {
      const auto index = static_cast<size_t>(at);
      value = value * 10 + (index < exact.digits.size() ? exact.digits[index] - '0' : 0);
      value %= divisor;
    }
    return value;
  };
  return rest(number, rest(of, INT64_MAX)) == 0;
}

bool Allows(const NumberFacts& facts, const std::string& text) {
  const Exact number = ExactOf(text);
  const auto order = [&](const NumberFacts::Bound& bound) {
    return Compare(number, ExactOf(bound.value.dump()));
  };
  for (const NumberFacts::Bound& bound : facts.lower) {
    if (order(bound) < (bound.open ? 1 : 0)) return false;
  }
  for (const NumberFacts::Bound& bound : facts.upper) {
    if (order(bound) > (bound.open ? -1 : 0)) return false;
  }
  for (const Json& of : facts.multiple_of) {
    const bool whole = number.exponent >= static_cast<int64_t>(number.digits.size());
    if (of == 1 ? !whole : !IsMultiple(number, ExactOf(of.dump()))) return false;
  }
  for (const Json& of : facts.not_multiple_of) {
    if (IsMultiple(number, ExactOf(of.dump()))) return false;
  }
  return true;
}

std::string Shown(const NumberFacts& facts) {
  std::string shown;
  for (const auto& bound : facts.lower) {
    shown += fmt::format("{}{} ", bound.open ? ">" : ">=", bound.value.dump());
  }
  for (const auto& bound : facts.upper) {
    shown += fmt::format("{}{} ", bound.open ? "<" : "<=", bound.value.dump());
  }
  for (const Json& of : facts.multiple_of) shown += "of " + of.dump() + " ";
  for (const Json& of : facts.not_multiple_of) shown += "not of " + of.dump() + " ";
  return shown;
}

// Plain decimals: small ones, and neighbours of `near` in several places, with zeros behind them.
std::vector<std::string> PlainTexts(const std::vector<Json>& near) {
  std::vector<std::string> sizes{"0",     "1",    "2",    "3",   "5",    "7",    "9",
                                 "10",    "12",   "15",   "99",  "100",  "300",  "1000",
                                 "0.001", "0.01", "0.05", "0.1", "0.25", "0.3",  "0.5",
                                 "0.999", "1.5",  "2.25", "7.5", "9.99", "12.34"};
  for (const Json& value : near) {
    const Exact exact = ExactOf(value.dump());
    for (int places = 0; places <= 3; ++places) {
      // The digits of the value as a whole number, up to that place; then one more and one less.
      const int64_t wanted = exact.exponent + places;
      if (wanted > 17) continue;
      std::string digits = wanted > 0 ? exact.digits.substr(0, wanted) : "0";
      if (wanted > 0) digits.resize(static_cast<size_t>(wanted), '0');
      for (const int64_t change : {-10, -1, 0, 1, 10}) {
        const int64_t number = std::stoll("0" + digits) + change;
        if (number < 0) continue;
        std::string text = fmt::format("{:0{}}", number, places + 1);
        if (places > 0) text.insert(text.size() - places, ".");
        sizes.push_back(text);
      }
    }
  }
  std::vector<std::string> texts;
  for (const std::string& size : sizes) {
    for (const std::string sign : {"", "-"}) {
      const std::string zeros = size.find('.') == std::string::npos ? ".00" : "0";
      texts.insert(texts.end(),
                   {fmt::format("{}{}", sign, size), fmt::format("{}{}{}", sign, size, zeros)});
    }
  }
  return texts;
}

TEST(Numbers, ArePlainDecimalsOfARange) {
  const std::vector<Json> values = {0,
                                    1,
                                    5,
                                    9,
                                    10,
                                    99,
                                    100,
                                    123,
                                    1000,
                                    -1,
                                    -10,
                                    -99,
                                    0.5,
                                    0.05,
                                    1.25,
                                    12.5,
                                    99.9,
                                    -0.5,
                                    -1.75,
                                    -12.345,
                                    0.001,
                                    1e3,
                                    1e-3,
                                    9007199254740991,
                                    -9007199254740991,
                                    1e30,
                                    -1e30,
                                    1e-7};
  const std::vector<Json> divisors = {1, 1, 3, 7, 100, 0.01, 0.1, 0.25, 2.5, 12};
  RandomStream random(1);
  const auto pick = [&](const std::vector<Json>& from) {
    return from[random.Next() % from.size()];
  };
  for (int round = 0; round < 1000; ++round) {
    NumberFacts facts;
    if (random.Next() % 4 != 0) facts.lower.push_back({pick(values), random.Next() % 2 == 0});
    if (random.Next() % 4 != 0) facts.upper.push_back({pick(values), random.Next() % 2 == 0});
    if (random.Next() % 16 == 0) facts.lower.push_back({pick(values), random.Next() % 2 == 0});
    if (random.Next() % 2 == 0) facts.multiple_of.push_back(pick(divisors));
    if (random.Next() % 16 == 0) facts.multiple_of.push_back(pick(divisors));
    if (random.Next() % 16 == 0) facts.not_multiple_of.push_back(pick(divisors));
    std::vector<Json> near;
    for (const auto* bounds : {&facts.lower, &facts.upper}) {
      for (const NumberFacts::Bound& bound : *bounds) near.push_back(bound.value);
    }
    Terms terms;
    const Term term = NumberTerm(terms, facts);
    for (const std::string& text : PlainTexts(near)) {
      ASSERT_EQ(terms.Matches(term, text), Allows(facts, text)) << text << " in " << Shown(facts);
    }
    for (const std::string text : {"", "-", "00", "01", "1.", ".5", "+1", "-01", "1.5.2", "--1"}) {
      ASSERT_FALSE(terms.Matches(term, text)) << text << " in " << Shown(facts);
    }
  }
}

TEST(Numbers, AreSpelledWithExponentsAsPythonDoes) {
  const std::vector<Json> values = {0,       1,     -1,    1e16,   1.5e16, -1.5e16,
                                    9.25e20, 1e30,  -1e30, 1e-5,   -1e-5,  2.5e-7,
                                    -2.5e-7, 0.001, 1e300, 123456, 1e-300};
  std::vector<std::string> texts;
  for (const std::string mantissa : {"1", "1.4", "1.5", "1.49", "1.51", "2.5", "2.4999", "9.25",
                                     "9.2501", "9", "9.9999999999999999"}) {
    for (const std::string exponent : {"+16", "+17", "+20", "+29", "+30", "+31", "+299", "+300",
                                       "+307", "-05", "-06", "-07", "-08", "-300", "-320"}) {
      for (const std::string sign : {"", "-"}) {
        std::string text = sign;
        text += fmt::format("{}e{}", mantissa, exponent);
        texts.push_back(text);
      }
    }
  }
  RandomStream random(2);
  const auto pick = [&] { return values[random.Next() % values.size()]; };
  for (int round = 0; round < 300; ++round) {
    NumberFacts facts;
    facts.lower.push_back({pick(), random.Next() % 2 == 0});
    if (random.Next() % 2 == 0) facts.upper.push_back({pick(), random.Next() % 2 == 0});
    if (random.Next() % 3 == 0) facts.multiple_of.emplace_back(1);
    if (random.Next() % 3 == 0) facts.upper.swap(facts.lower);
    Terms terms;
    const Term term = NumberTerm(terms, facts);
    for (const std::string& text : texts) {
      ASSERT_EQ(terms.Matches(term, text), Allows(facts, text)) << text << " in " << Shown(facts);
    }
  }
}

TEST(Numbers, OfNoBoundsAreThoseOfJson) {
  Terms terms;
  for (const Term any : {AnyNumber(terms), NumberTerm(terms, {})}) {
    for (const std::string text : {"0", "-0", "12.50", "1e5", "1E-05", "-1.5e+300", "0e0"}) {
      EXPECT_TRUE(terms.Matches(any, text)) << text;
    }
    for (const std::string text : {"", "01", "1.", "1e", "1e+", ".5", "+1", "NaN", "1e1.5"}) {
      EXPECT_FALSE(terms.Matches(any, text)) << text;
    }
  }
  EXPECT_TRUE(terms.Matches(PlainNumber(terms), "-0.50"));
  EXPECT_FALSE(terms.Matches(PlainNumber(terms), "1e5"));
}

TEST(Numbers, AreEqualInEverySpelling) {
  struct Case {
    Json value;
    std::vector<std::string> equal;
    std::vector<std::string> others;
  };
  for (const Case& it : std::vector<Case>{
           {0, {"0", "-0", "0.0", "-0.00"}, {"00", "0.01", "1"}},
           {-0.0, {"0", "-0"}, {"1"}},
           {5, {"5", "5.0", "5.00"}, {"-5", "50", "5."}},
           {-1.25, {"-1.25", "-1.2500"}, {"1.25", "-1.2", "-1.251"}},
           {1e16, {"10000000000000000", "1e+16", "10000000000000000.0"}, {"1e+17", "1"}},
           {-2.5e-7, {"-2.5e-07", "-0.00000025"}, {"2.5e-07", "-2.5e-7"}},
           {UINT64_MAX, {"18446744073709551615"}, {"18446744073709551616"}}}) {
    Terms terms;
    const Term term = NumberEqualTo(terms, it.value);
    for (const std::string& text : it.equal) {
      EXPECT_TRUE(terms.Matches(term, text)) << text << " and " << it.value;
    }
    for (const std::string& text : it.others) {
      EXPECT_FALSE(terms.Matches(term, text)) << text << " and " << it.value;
    }
  }
}

TEST(Numbers, TellMultiplesOfFewDigits) {
  for (const Json& value : std::vector<Json>{1, 3, 0.01, 2.5, 1e-7, 100, 999'999'999}) {
    EXPECT_TRUE(CanTellMultiplesOf(value)) << value;
  }
  for (const Json& value : std::vector<Json>{0, -1, 1e30, 1e-12, 0.123456789012}) {
    EXPECT_FALSE(CanTellMultiplesOf(value)) << value;
  }
}

}  // namespace
}  // namespace fulmen
