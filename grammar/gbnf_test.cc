#include "grammar/gbnf.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "grammar/machine.h"

namespace fulmen {
namespace {

using std::string_literals::operator""s;  // NOLINT(misc-unused-using-decls): it is used

std::shared_ptr<const Grammar> GbnfGrammar(const std::string& text) {
  auto grammar = std::make_shared<Grammar>();
  const Result<Expr> start = AddGbnf(*grammar, text);
  if (!start) {
    ADD_FAILURE() << text << ": " << start.error().message;
    return nullptr;
  }
  const Status finished = grammar->Finish(*start);
  EXPECT_TRUE(finished.has_value()) << text << ": " << finished.error().message;
  return finished ? grammar : nullptr;
}

bool Matches(Machine& machine, const std::string& text) {
  Machine::State state = machine.start();
  for (const char byte : text) state = machine.Next(state, static_cast<uint8_t>(byte));
  return machine.Accepts(state);
}

struct GbnfCase {
  std::string grammar;
  std::vector<std::string> matches;
  std::vector<std::string> others;
};

void CheckGbnf(const std::vector<GbnfCase>& cases) {
  for (const GbnfCase& it : cases) {
    const auto grammar = GbnfGrammar(it.grammar);
    if (grammar == nullptr) continue;
    Machine machine(grammar);
    for (const std::string& text : it.matches) {
      EXPECT_TRUE(Matches(machine, text)) << it.grammar << " and " << text;
    }
    for (const std::string& text : it.others) {
      EXPECT_FALSE(Matches(machine, text)) << it.grammar << " and " << text;
    }
    EXPECT_FALSE(machine.exhausted()) << it.grammar;
  }
}

TEST(Gbnf, ReadsElements) {
  CheckGbnf({{"root ::= \"a\" \"\" \"bc\"", {"abc"}, {"a", "abcd"}},
             {"root ::= \"\\n\\t\\r\\\\\\\"\\[\\]\\x41\\u00e9\\U0001F600\"",
              {"\n\t\r\\\"[]A\u00E9\U0001F600"},
              {}},
             {"root ::= [a-c_] [^a-c\\]] [-x] [x-] [\\x41-\\u0043] [^\\n]",
              {"ad--BX", "_[x-A\u4F8B"},
              {"ab--BX", "a]--BX", "ad--DX", "ad--B\n"}},
             {"root ::= . .", {"a\n", "\u4F8B\U0001F600"}, {"a", "\xFF\xFF"}},
             {"root ::= \"a\"* \"b\"+ \"c\"? [d]{2} \"e\"{1,} (\"f\" | \"g\"){0,2}",
              {"bdde", "aabbcddeefg"},
              {"dde", "bdd", "bddefgf"}},
             {"root ::= \"ab\" *", {"", "abab"}, {"abb"}},
             {"root ::= \"a\" | | \"b\"", {"", "a", "b"}, {"ab"}},
             {"root ::= ()", {""}, {"a"}}});
}

TEST(Gbnf, ReadsRulesOverManyLines) {
  CheckGbnf({{"# a comment\n"
              "root ::=   # another\n"
              "  first-part (\n    second_part |\n    \"x\"  # \"y\"\n  ) third\n"
              "first-part ::= \"a\"\n\n"
              "second_part::=\"b\"\n"
              "  | \"c\"\r\n"
              "third ::= \"d\" # the end",
              {"abd", "acd", "axd"},
              {"ayd", "ab"}},
             {"a ::= \"1\" root ::= a b b ::= \"2\" a", {"121"}, {"12"}}});
}

TEST(Gbnf, RunsArithmetic) {
  const auto grammar = GbnfGrammar(R"gbnf(
    root  ::= (expr "=" ws term "\n")+
    expr  ::= term ([-+*/] term)*
    term  ::= ident | num | "(" ws expr ")" ws
    ident ::= [a-z] [a-z0-9_]* ws
    num   ::= [0-9]+ ws
    ws    ::= [ \t\n]*
  )gbnf");
  ASSERT_NE(grammar, nullptr);
  Machine machine(grammar);
  for (const std::string text : {"1=2\n", "a +(b1*( 3 -4))/5 = x\n", "((((1))))=(2)\n1=1\n"}) {
    EXPECT_TRUE(Matches(machine, text)) << text;
  }
  for (const std::string text : {"", "1\n", "1+=2\n", "(1=2\n", "1=2", "1=(2\n", "A=1\n"}) {
    EXPECT_FALSE(Matches(machine, text)) << text;
  }
}

TEST(Gbnf, RunsJson) {
  const auto grammar = GbnfGrammar(R"gbnf(
    root   ::= object
    value  ::= object | array | string | number | ("true" | "false" | "null") ws
    object ::= "{" ws (
      string ":" ws value
      ("," ws string ":" ws value)*
    )? "}" ws
    array  ::= "[" ws (value ("," ws value)*)? "]" ws
    string ::= "\"" (
      [^"\\\x7F\x00-\x1F] |
      "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4})  # escapes
    )* "\"" ws
    number ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]+)? ([eE] [-+]? [0-9]{1,3})? ws
    ws     ::= | " " | "\n" [ \t]{0,20}
  )gbnf");
  ASSERT_NE(grammar, nullptr);
  Machine machine(grammar);
  for (const std::string text :
       {"{}", "{\"a\": [1, -2.5e+7, {\"b\": null}], \"\u00E9\\u00e9\\n\": \"x\"}",
        "{\n  \"a\":[[[[[]]]]]}"}) {
    EXPECT_TRUE(Matches(machine, text)) << text;
  }
  for (const std::string text : {"", "[]", "{\"a\"}", "{\"a\":01}", "{\"a\":1,}", "{\"a\":[1}",
                                 "{\"a\":\"\n\"}", "{} x", "{\"\\x\":1}"}) {
    EXPECT_FALSE(Matches(machine, text)) << text;
  }
}

TEST(Gbnf, RefusesWithTheirPlaceWhatItCannotRead) {
  const auto error = [](const std::string& text) {
    Grammar grammar;
    const Result<Expr> start = AddGbnf(grammar, text);
    if (start) ADD_FAILURE() << text << " is read";
    return start ? Error{} : start.error();
  };
  for (const std::string& text : {""s,
                                  "root"s,
                                  "root ="s,
                                  "::= \"a\""s,
                                  "a ::= \"a\""s,
                                  "root ::= b"s,
                                  "root ::= \"a"s,
                                  "root ::= [a"s,
                                  "root ::= [b-a]"s,
                                  "root ::= (\"a\""s,
                                  "root ::= \"a\")"s,
                                  "root ::= *"s,
                                  "root ::= \"a\"**"s,
                                  "root ::= \"a\"{"s,
                                  "root ::= \"a\"{2,1}"s,
                                  "root ::= \"a\"{,2}"s,
                                  "root ::= \"a\"{2147483647}"s,
                                  "root ::= \"\\q\""s,
                                  "root ::= \"\\x4\""s,
                                  "root ::= \"\\uD800\""s,
                                  "root ::= \"\\U00110000\""s,
                                  "root ::= \"\\"s,
                                  "root ::= \"a\" root ::= \"b\""s,
                                  "root ::= <think>"s,
                                  "root ::= \"\xFF\""s,
                                  "root ::= 'a'"s,
                                  "root ::= [a-"s,
                                  "root ::= \"\\x\0\""s}) {
    EXPECT_EQ(error(text).code, ErrorCode::kInvalidArgument) << text;
  }
  EXPECT_EQ(error("root ::= a\n\na ::=\n  [b-a]").message,
            "expected the end of a range after its beginning in line 4, column 6 of the grammar, "
            "found \"a\"");
  EXPECT_EQ(error("root ::= \"a\"\n  b").message,
            "expected a rule named \"b\" for line 2, column 3 of the grammar, found none");
  EXPECT_EQ(error("root ::= (= \"a\")").code, ErrorCode::kUnsupported);
  EXPECT_EQ(error("root ::= " + std::string(201, '(') + std::string(201, ')')).code,
            ErrorCode::kUnsupported);
  EXPECT_EQ(error(std::string((1 << 20) + 1, ' ')).code, ErrorCode::kUnsupported);
}

TEST(Gbnf, LeavesLeftRecursionToTheGrammar) {
  Grammar grammar;
  const Result<Expr> start = AddGbnf(grammar, "root ::= root \"a\" | \"b\"");
  ASSERT_TRUE(start.has_value());
  EXPECT_FALSE(grammar.Finish(*start).has_value());
}

TEST(Gbnf, OfManyRulesIsRead) {
  std::string chain = "root ::= r0\n";
  std::string doubled = "root ::= r40\nr0 ::= \"a\"\n";
  for (int rule = 0; rule < 20'000; ++rule) {
    chain += "r" + std::to_string(rule) + " ::= \"a\" r" + std::to_string(rule + 1) + "\n";
  }
  chain += "r20000 ::= \"b\"";
  for (int rule = 0; rule < 40; ++rule) {
    const std::string name = "r" + std::to_string(rule);
    doubled += fmt::format("r{} ::= {} {}\n", rule + 1, name, name);
  }
  for (const std::string& text : {chain, doubled}) {
    Grammar grammar;
    const Result<Expr> start = AddGbnf(grammar, text);
    ASSERT_TRUE(start.has_value()) << start.error().message;
    EXPECT_EQ(grammar.Finish(*start).has_value(), text == chain);
  }
}

}  // namespace
}  // namespace fulmen
