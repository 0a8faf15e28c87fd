// Schemas, patterns and grammars that are made to take too much: each is refused, or else compiled
// and answered within bounds, and never leads where no token may come.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <functional>
#include <optional>

#include "base/random.h"
#include "grammar/gbnf.h"
#include "grammar/json_schema.h"
#include "grammar/matcher.h"
#include "grammar/pattern.h"
#include "tests/testing/golden.h"
#include "tokenizer/testing/minimax.h"

namespace fulmen {
namespace {

// Under sanitizers all takes some ten times as long.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr double kSlower = 20;
#else
constexpr double kSlower = 1;
#endif
// On a core that others want, too.
constexpr double kSecondsToCompile = 6 * kSlower;
constexpr double kSecondsToAnswer = 1.5 * kSlower;

enum class Language { kSchema, kPattern, kGbnf };

struct Hostile {
  const char* name;
  Language language;
  std::function<std::string()> text;
};

std::string Times(int count, std::string_view text) {
  std::string all;
  for (int at = 0; at < count; ++at) all += text;
  return all;
}

// `each` of 0, 1, 2, …, with commas between.
std::string List(int count, const std::function<std::string(int)>& each) {
  std::string all;
  for (int at = 0; at < count; ++at) all += (at == 0 ? "" : ",") + each(at);
  return all;
}

std::string Nested(int depth, std::string_view before, std::string_view inside,
                   std::string_view after) {
  return Times(depth, before) + std::string(inside) + Times(depth, after);
}

std::string Object(int count, bool required, const std::string& value, const char* more = "") {
  const std::string names = List(count, [](int at) { return fmt::format("\"p{}\"", at); });
  return fmt::format(R"({{"type":"object","properties":{{{}}},"required":[{}]{}}})",
                     List(count, [&](int at) { return fmt::format("\"p{}\":{}", at, value); }),
                     required ? names : "", more);
}

std::string Chain(int count, int step, const char* last, const char* keyword = nullptr) {
  const auto at = [&](int index) { return step > 0 ? index : count - 1 - index; };
  const auto reference = [&](int index) {
    const std::string plain = fmt::format(R"({{"$ref":"#/$defs/d{:06}"}})", at(index));
    if (keyword == nullptr) return plain;
    return std::string_view(keyword) == "not" ? fmt::format(R"({{"not":{}}})", plain)
                                              : fmt::format(R"({{"{}":[{}]}})", keyword, plain);
  };
  std::vector<std::string> definitions(count);
  for (int index = 0; index < count; ++index) {
    definitions[at(index)] = fmt::format(R"("d{:06}":{})", at(index),
                                         index + 1 < count ? reference(index + 1) : last);
  }
  return fmt::format(R"({{"$defs":{{{}}},"allOf":[{}]}})",
                     List(count, [&](int index) { return definitions[index]; }), reference(0));
}

#include "grammar/hostile_cases.inc"

std::shared_ptr<const TokenTrie> SmallVocabulary() {
  static const auto tokens =
      TokenTrie::Build(*Tokenizer::Load(testing::GoldenFolder("tokenizer/small")));
  return tokens;
}

std::shared_ptr<const TokenTrie> PublishedVocabulary() {
  static const auto tokens = MinimaxTokenizer() == nullptr ? nullptr : TokenTrie::Build(*MinimaxTokenizer());
  return tokens;
}

double Seconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

Result<std::shared_ptr<const Grammar>> Compile(Language language, const std::string& text,
                                               bool strict) {
  auto grammar = std::make_shared<Grammar>();
  Expr start = 0;
  switch (language) {
    case Language::kSchema: {
      std::vector<std::string> left_out;
      FULMEN_ASSIGN(const Json schema, ParseJson(text, "schema"));
      const auto begun = std::chrono::steady_clock::now();
      FULMEN_ASSIGN(start, AddJsonSchema(*grammar, schema, {.strict = strict}, left_out));
      if (getenv("V")) fmt::print("   add {:.3f} s, left out {}\n", Seconds(begun), left_out.size());
      break;
    }
    case Language::kPattern: {
      FULMEN_ASSIGN(const Term term, ParsePattern(grammar->terms(), text, Spelling::kText,
                                                  PatternMatch::kSearch));
      start = grammar->Lexeme(term);
      break;
    }
    case Language::kGbnf: {
      FULMEN_ASSIGN(start, AddGbnf(*grammar, text));
      break;
    }
  }
  FULMEN_TRY(grammar->Finish(start));
  return grammar;
}

// Walks by tokens, the shortest way or at random; asks everything on the way.
void Walk(const std::shared_ptr<const Grammar>& grammar,
          const std::shared_ptr<const TokenTrie>& tokens, uint64_t seed, int steps, double* worst) {
  RandomStream random(seed);
  auto begun = std::chrono::steady_clock::now();
  const auto time = [&](int what) {
    worst[what] = std::max(worst[what], Seconds(begun));
    begun = std::chrono::steady_clock::now();
  };
  Matcher matcher(grammar, tokens);
  time(0);
  std::string text;
  for (int step = 0; step < steps; ++step) {
    const bool must_end = matcher.MustEnd();
    if (must_end) break;
    begun = std::chrono::steady_clock::now();
    const auto mask = matcher.Mask();
    time(1);
    if (!mask) {
      if (getenv("V")) fmt::print("   step {}: {}\n", step, mask.error().message);
      break;
    }
    std::vector<int32_t> allowed;
    for (size_t word = 0; word < mask->size(); ++word) {
      for (uint64_t left = (*mask)[word]; left != 0; left &= left - 1) {
        allowed.push_back(static_cast<int32_t>(64 * word) + std::countr_zero(left));
      }
    }
    ASSERT_FALSE(allowed.empty()) << "a dead end at step " << step << " behind " << text.substr(0, 200);
    const int32_t token = allowed[random.Next() % allowed.size()];
    begun = std::chrono::steady_clock::now();
    const Status accepted = matcher.Accept(token);
    time(2);
    ASSERT_TRUE(accepted) << accepted.error().message;
    text += tokens->BytesOf(token);
    begun = std::chrono::steady_clock::now();
    matcher.Forced(1000);
    time(3);
    if (step % 8 != 7 && step > 0) continue;
    begun = std::chrono::steady_clock::now();
    const auto rest = matcher.WayToEnd();
    time(4);
    if (!rest) continue;
    Matcher copy = matcher;
    for (size_t at = 0; at < std::min<size_t>(rest->size(), 2'000); at += 20) {
      const Status ended = copy.AcceptText(std::string_view(*rest).substr(at, 20));
      ASSERT_TRUE(ended) << ended.error().message << ": no end by " << *rest;
    }
    ASSERT_TRUE(copy.CanEnd() || rest->size() > 2'000) << "no end by " << *rest << " behind " << text.substr(0, 500);
  }
}

class HostileTest : public ::testing::TestWithParam<Hostile> {};

TEST_P(HostileTest, IsRefusedOrAnsweredWithinBounds) {
  const std::string text = GetParam().text();
  for (const bool strict : {true, false}) {
    const auto begun = std::chrono::steady_clock::now();
    const auto grammar = Compile(GetParam().language, text, strict);
    const double took = Seconds(begun);
    EXPECT_LT(took, kSecondsToCompile);
    if (getenv("V")) {
      fmt::print("{} {} {:.3f} s, {}\n", GetParam().name, text.size(), took,
                 grammar ? fmt::format("ok: {} terms, {} exprs", (*grammar)->terms().size(), (*grammar)->size())
                         : grammar.error().message.substr(0, 300));
    }
    if (!grammar) continue;
    if (!strict && GetParam().language != Language::kSchema) continue;
    for (const auto& tokens : {SmallVocabulary(), PublishedVocabulary()}) {
      if (tokens == nullptr) continue;
      double worst[5]{};
      for (uint64_t seed = 0; seed < 2; ++seed) Walk(*grammar, tokens, seed, 30, worst);
      if (getenv("V"))
        fmt::print("   new {:.3f} mask {:.3f} accept {:.3f} forced {:.3f} way {:.3f}\n", worst[0], worst[1], worst[2], worst[3], worst[4]);
      for (const double seconds : worst) EXPECT_LT(seconds, kSecondsToAnswer);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, HostileTest, ::testing::ValuesIn(kHostile),
                         [](const auto& of) { return std::string(of.param.name); });

}  // namespace
}  // namespace fulmen
