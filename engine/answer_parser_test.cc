#include "engine/answer_parser.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/testing/answer_checks.h"

namespace fulmen {
namespace {

using Kind = AnswerPiece::Kind;

constexpr AnswerFormat kThinking = {true, CallFormat::kNone};

// R: reasoning, T: text, C: a call's name, A: its arguments, E: its end.
std::string Show(const std::vector<AnswerPiece>& pieces) {
  std::string shown;
  for (const AnswerPiece& piece : pieces) {
    if (!shown.empty()) shown += " | ";
    if (piece.kind == Kind::kCallEnd) {
      shown += 'E';
      continue;
    }
    constexpr std::string_view kLetters = "RTCA";
    shown += kLetters[static_cast<size_t>(piece.kind)];
    shown += ' ';
    shown += piece.text;
  }
  return shown;
}

struct Case {
  AnswerFormat format;
  std::string answer;
  std::string pieces;
};

std::vector<Case> ReasoningCases() {
  return {
      {kPlain, "", ""},
      {kPlain, "<think>\nx\n</think>\n", "T <think>\nx\n</think>\n"},
      {kPlain, "<tool_calls>\n{}\n", "T <tool_calls>\n{}\n"},
      {kThinking, "", ""},
      {kThinking, "Hello", "T Hello"},
      {kThinking, "<think>\nWhy?\n</think>\n\nBecause.\n", "R Why? | T Because.\n"},
      {kThinking, " \n<think>a</think>b", "R a | T b"},
      {kThinking, "<think>\n\na\n\n</think>b", "R \na\n | T b"},
      {kThinking, "<think>\n</think>\nb", "T b"},
      {kThinking, "<think>\n\n</think>\nb", "T b"},
      {kThinking, "<think></think>", ""},
      {kThinking, "<think>\na", "R a"},
      {kThinking, "<think>\na\n</thin", "R a\n</thin"},
      {kThinking, "<think>a\n\n</think\n</</think> \t\r\n", "R a\n\n</think\n</"},
      {kThinking, "<think>a<think>b</think>c</think>", "R a<think>b | T c</think>"},
      {kThinking, "a</think>b<think>c", "T a</think>b<think>c"},
      {kThinking, "</think>\nb", "T </think>\nb"},
      {kThinking, " \n<thi", "T  \n<thi"},
      {kThinking, " <thinking>", "T  <thinking>"},
      {kThinking, " <<think>", "T  <<think>"},
      {kM1, "<think>\n<tool_calls>\n{\"name\": \"f\"}\n</tool_calls>\n</think>\nb",
       "R <tool_calls>\n{\"name\": \"f\"}\n</tool_calls> | T b"},
      {kM1, " <tool_calls>\n{\"name\": \"f\"}", "C f | A {} | E"},
      {kText01, "<think>\nx", "T <think>\nx"},
  };
}

// What stands in a block of M1, and what it gives.
std::vector<Case> M1CallCases() {
  const std::vector<Case> inner = {
      {kM1, R"({"name": "f", "arguments": {"a": [1, "}"]}})", "C f | A {\"a\": [1, \"}\"]} | E"},
      {kM1, R"({"name": "f", "arguments": {}} {"name":"g","arguments":{"b":1}})",
       "C f | A {} | E | C g | A {\"b\":1} | E"},
      {kM1, R"([{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}])",
       "C f | A {} | E | C g | A {} | E"},
      {kM1, "{\n  \"name\": \"f\",\n  \"arguments\": {\n    \"a\": 1\n  }\n}",
       "C f | A {\n    \"a\": 1\n  } | E"},
      {kM1, R"({"arguments": {"a": 1}, "name": "f"})", "C f | A {\"a\": 1} | E"},
      {kM1,
       R"({"id": "x\"", "n": -1.5e3, "name": "f", "arguments": {}, "o": [{}, null], "p": true})",
       "C f | A {} | E"},
      {kM1, R"({"name": "f", "parameters": {"a": 1}})", "C f | A {\"a\": 1} | E"},
      {kM1, R"({"name": "f", "arguments": {"a": 1}, "parameters": 3, "name": 4})",
       "C f | A {\"a\": 1} | E"},
      {kM1, R"({"name": "f", "arguments": "{\"a\": \"\\n\\\"\u00e9\ud83d\ude00\"}"})",
       "C f | A {\"a\": \"\\n\\\"\xC3\xA9\xF0\x9F\x98\x80\"} | E"},
      {kM1, R"({"arguments": " {\"a\": 1}\n", "name": "f"})", "C f | A {\"a\": 1} | E"},
      {kM1, R"({"name": "f", "arguments": " "})", "C f | A {} | E"},
      {kM1, R"({"name": "f", "arguments": null})", "C f | A {} | E"},
      {kM1, R"({"arguments": null, "name": "f"})", "C f | A {} | E"},
      {kM1, R"({"name": "f"})", "C f | A {} | E"},
      {kM1, R"({name: get.x-1, arguments: {"a": 1}})", "C get.x-1 | A {\"a\": 1} | E"},
      {kM1, R"({arguments: {"a": 1}, type: function, name: "f",})", "C f | A {\"a\": 1} | E"},
      {kM1, R"({"n\u0061me": "\u0066\n", "arguments": {}})", "C f\n | A {} | E"},
      // A brace too few or too many.
      {kM1, R"({"name": "f", "arguments": "{}" {"name": "g"})", "C f | A {} | E | C g | A {} | E"},
      {kM1, "{\"name\": \"f\", \"arguments\": {}\n{\"name\": \"g\", \"arguments\": {}}}",
       "C f | A {} | E | C g | A {} | E"},
      {kM1, R"({"name": "f", "arguments": {}, {"name": "g"})", "C f | A {} | E | C g | A {} | E"},
      // In one block with others.
      {kM1, "{\"name\": \"f\"}\nno call, {x}\n {\"name\": \"g\"}\n",
       "C f | A {} | E | T \nno call, {x} | C g | A {} | E"},
      {kM1, "{\"name\": \"f\"}\n{\"nam\": 1}, {\"name\": \"g\"}",
       "C f | A {} | E | T \n{\"nam\": 1} | C g | A {} | E"},
      {kM1, R"({"name": "f", "arguments": {}, "x": tru, y} z)",
       "C f | A {} | E | T , \"x\": tru, y} z"},
      // Broken in the arguments: no end, and the rest of the line is text.
      {kM1, "{\"name\": \"f\", \"arguments\": {'a': 1}}\n{\"name\": \"g\"}",
       "C f | A { | T 'a': 1}} | C g | A {} | E"},
      {kM1, "{\"name\": \"f\", \"arguments\": {\"a\": \"x\ny\"}}",
       "C f | A {\"a\": \"x | T \ny\"}}"},
      {kM1, R"({"name": "f", "arguments": "{\"a\": 01}"})", "C f | A {\"a\": 0 | T 1}\"}"},
      {kM1, R"({"name": "f", "arguments": "{\u0061}"})", "C f | A { | T \\u0061}\"}"},
      {kM1, R"({"name": "f", "arguments": "{\"a\": 1"})", "C f | A {\"a\": 1 | T \"}"},
      {kM1, R"({"name": "f", "arguments": "{\"a\": 1} x"})", "C f | A {\"a\": 1} | T  x\"}"},
      {kM1, R"({"name": "f", "arguments": {"a": 1e999}})", "C f | A {\"a\": 1e99 | T 9}}"},
  };
  std::vector<Case> cases;
  for (const Case& one : inner) {
    for (const std::string_view end :
         {"\n</tool_calls>", "\n</tool_calls>\n", "\n", "</tool_calls>", "\n</tool_", ""}) {
      cases.push_back({kM1, "<tool_calls>\n" + one.answer + std::string(end), one.pieces});
      cases.push_back({kM1, "<think>\nR\n</think>\n\n<tool_calls>" + one.answer + std::string(end),
                       "R R | " + one.pieces});
    }
    cases.push_back(
        {kM1, "Text.\n\n<tool_calls>\n" + one.answer + "\n</tool_calls>\nMore.\n",
         "T Text. | " + one.pieces + (one.pieces.back() == 'E' ? " | T " : "") + "\nMore.\n"});
  }
  return cases;
}

// Where the block, or what looks like one, is what matters.
std::vector<Case> M1BlockCases() {
  const std::string call = "{\"name\": \"f\", \"arguments\": {\"a\": 1}}";
  const std::string pieces = "C f | A {\"a\": 1} | E";
  std::vector<Case> cases = {
      {kM1, "A <tool_calls>" + call + "</tool_calls> B\n", "T A | " + pieces + " | T  B\n"},
      {kM1,
       "<tool_calls>\n" + call + "\n</tool_calls>\n\n<tool_calls>\n" + call + "\n</tool_calls>\n",
       pieces + " | " + pieces},
      {kM1, "<tool_calls>\n" + call + "\n</tool_calls> \n<tool_", pieces + " | T  \n<tool_"},
      {kM1, "<<tool_calls>\n" + call, "T < | " + pieces},
      {kM1, "<tool_calls><tool_calls>\n" + call, "T <tool_calls> | " + pieces},
      {kM1, "<tool_<tool_calls>\n" + call, "T <tool_ | " + pieces},
      {kM1, "<tool_calls>\n[\n  " + call + ",\n]\n</tool_calls>", pieces},
      {kM1, "<tool_calls>\n" + call + "\n<</tool_calls>", pieces + " | T \n<"},
      {kM1, "<tool_calls>\n" + call + "\n</tool</tool_calls>", pieces + " | T \n</tool"},
      {kM1, "<tool_calls>\nbad\n\n" + call + "\n</tool_calls>", "T <tool_calls>\nbad | " + pieces},
      {kM1, "<tool_calls>\n" + call + "\nbad \n\nworse\n</tool_calls>",
       pieces + " | T \nbad \n\nworse"},
      {kM1, "<tool_calls>\n" + call + "\nbad </tool_calls>\n", pieces + " | T \nbad"},
      // A call that was cut in the middle.
      {kM1, "<tool_calls>\n{\"name\": \"f\", \"arguments\": {}, \"x\": \"y",
       "C f | A {} | E | T , \"x\": \"y"},
      {kM1, "<tool_calls>\n{\"name\": \"f\", \"arguments\": \"{}\"", "C f | A {} | E"},
      {kM1, "<tool_calls>\n{\"name\": \"f\", \"arguments\": \"{} ", "C f | A {}"},
      {kM1, "<tool_calls>\n{\"name\": \"f\", \"arguments\": {}, \n", "C f | A {} | E"},
      {kM1, "<tool_calls>\n{\"name\": \"f\", \"arguments\": {\"a\": \"b", "C f | A {\"a\": \"b"},
      {kM1, "<tool_calls>\n{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": \\\"\\\\ud83d\\",
       "C f | A {\"a\": \"\\ud83d"},
  };
  // None of these has a call: they are text to the last byte.
  for (const char* text :
       {"A\n<tool_calls>\n</tool_calls>\nB\n",
        "Write <tool_calls></tool_calls> XML tags.\n",
        "`<tool_calls>` is a tag.\n{\"name\": \"f\"}\n",
        "<tool_calls>, ] x\n{\"name\": \"f\"}\n",
        "<tool_calls>\n[]\n",
        "<tool_calls>\n\n ",
        "<tool_calls>\n{\"name\": \"f",
        "<tool_calls>\n{\"name\": \"f\", \"arguments\": ",
        "<tool_calls>\n{\"arguments\": {\"a\": 1}",
        "<tool_calls>\n{\"name\": \"f\", \"arguments\": \"\\\"",
        "<tool_calls>\n{\"name\": \"f\"",
        "<tool_calls>\n{name: <tool-name-1>, arguments: <args-json-object-1>}\n...\n</tool_calls>",
        "<tool_calls>\n{}\n</tool_calls>",
        "<tool_calls>\n{\"name\": \"\"}\n</tool_calls>\n",
        "<tool_calls>\n{\"name\": null}\n{name: true}\n{\"name\": 1}\n",
        "<tool_calls>\n{\"name\": \"f\", \"arguments\": [{\"name\": \"g\"}]} \n</tool_calls>",
        "<tool_calls>\n{\"arguments\": 7,\n \"x\":\n{\"name\": \"g\"}}\n</tool_calls>",
        "<tool_calls>\n{\"name\": \"f\", \"arguments\": \"no object\"}\n</tool_calls>",
        "<tool_calls>\n{\"name\": \"f\", \"arguments\": nil}\n</tool_calls>",
        "<tool_calls>\n{\"arguments\": {\"a\": 1x}, \"name\": \"f\"}\n</tool_calls>",
        "<tool_calls>\n{\"arguments\": \"{x}\", \"name\": \"f\"}\n</tool_calls>",
        "<tool_calls>\n{'name': 'f'}\n</tool_calls>",
        "<tool_calls>\n{\"name\" \"f\"}\n</tool_",
        "<tool_calls>\n{\"function\": {\"name\": \"f\", \"arguments\": {}}}\n</tool_calls>",
        "</tool_calls>\n",
        "a \n <",
        "<tool_calls",
        "\n \n"}) {
    cases.push_back({kM1, text, std::string("T ") + text});
    cases.push_back(
        {kM1, std::string("<think>\nR\n</think>\n\nX") + text, std::string("R R | T X") + text});
  }
  return cases;
}

std::vector<Case> Text01Cases() {
  const std::string open = "<function_call>```typescript\n";
  std::vector<Case> cases = {
      {kText01, "Text.\n" + open + "functions.f({\"a\": 1})\n```\n More.",
       "T Text. | C f | A {\"a\": 1} | E | T \n More."},
      {kText01, open + "functions.f({\"a\": 1})\n```", "C f | A {\"a\": 1} | E"},
      {kText01,
       open + "functions.f({\n  \"a\": \"```\\n)\",\n  \"b\": [1]\n});\nfunctions.g-h({})```\n",
       "C f | A {\n  \"a\": \"```\\n)\",\n  \"b\": [1]\n} | E | C g-h | A {} | E"},
      {kText01, open + "functions.f()\nfunctions.g( \"{\\\"a\\\": 1}\" )\nfunctions.h.i( {} )",
       "C f | A {} | E | C g | A {\"a\": 1} | E | C h.i | A {} | E"},
      {kText01, "<function_call>\n ``` \nfunctions.f({})\n\n``", "C f | A {} | E"},
      {kText01, "<function_call>```ts\r\nfunctions.f({})\n```" + open + "functions.g({})\n```",
       "C f | A {} | E | C g | A {} | E"},
      {kText01, open + "functions.f({}\nfunctions.g({})\n", "C f | A {} | E | C g | A {} | E"},
      {kText01, open + "// now\nfunctions.f({})\nx ``` y\n  ```\nz",
       "T " + open + "// now | C f | A {} | E | T )\nx ``` y\nz"},
      {kText01, open + "functions.f({\"a\": x})\nfunctions.g({})\n```",
       "C f | A {\"a\":  | T x}) | C g | A {} | E"},
      {kText01, open + "functions.f({})\nfunctions.g(1)\n```",
       "C f | A {} | E | T )\nfunctions.g(1)"},
      {kText01, open + "functions.f({})\n``\n```", "C f | A {} | E | T )\n``"},
      {kText01, open + "functions.f({\"a\": \"b", "C f | A {\"a\": \"b"},
      {kText01, open + "functions.f({})\nfunctions.g", "C f | A {} | E | T )\nfunctions.g"},
      {kText01, "<function_call>" + open + "functions.f({})", "T <function_call> | C f | A {} | E"},
      {kText01, "a <function_call>\n" + open + "functions.f({})",
       "T a <function_call>\n | C f | A {} | E"},
  };
  for (const std::string& text : std::vector<std::string>{
           "<function_call>functions.f({})\n", "a\n" + open + "f({})\n```\nb\n",
           "<function_call>````typescript\nfunctions.f({})\n```",
           "```typescript\nfunctions.f({})\n```\n", open, open + "```\n", open + "functions.",
           "<function_call>``", "<function_call> \n", "<function_call>``x", open + "functions.f",
           open + "functions.({})\n", open + "functions.f[]\n", open + "functions.f(\"x\")\n```"}) {
    cases.push_back({kText01, text, "T " + text});
  }
  return cases;
}

std::vector<Case> AllCases() {
  std::vector<Case> all;
  for (const auto& cases : {ReasoningCases(), M1CallCases(), M1BlockCases(), Text01Cases()}) {
    all.insert(all.end(), cases.begin(), cases.end());
  }
  return all;
}

TEST(AnswerParser, GivesWhatIsExpected) {
  for (const Case& one : AllCases()) {
    const std::vector<AnswerPiece> pieces = ParseWhole(one.format, one.answer);
    EXPECT_EQ(Show(pieces), one.pieces) << one.answer;
    EXPECT_EQ(WhatIsWrong(one.answer, pieces), "") << one.answer;
  }
}

TEST(AnswerParser, CutsMakeNoDifference) {
  std::mt19937_64 random(1);
  for (const Case& one : AllCases()) {
    const std::vector<AnswerPiece> whole = ParseWhole(one.format, one.answer);
    for (size_t cut = 0; cut <= one.answer.size(); ++cut) {
      bool first = true;
      const auto two = [&] { return std::exchange(first, false) ? cut : one.answer.size(); };
      ASSERT_EQ(ParseInParts(one.format, one.answer, two), whole)
          << one.answer << "\ncut at " << cut;
    }
    ASSERT_EQ(ParseInParts(one.format, one.answer, [] { return 1; }), whole) << one.answer;
    for (int round = 0; round < 10; ++round) {
      const auto some = [&random] { return random() % 8; };
      ASSERT_EQ(ParseInParts(one.format, one.answer, some), whole) << one.answer;
    }
  }
}

// Answers of fragments, and the answers of the tables with fragments put in.
TEST(AnswerParser, HoldsItsPromisesOnRandomAnswers) {
  static constexpr std::array<std::string_view, 44> kFragments = {
      "#",
      "'?'",
      "!\n",
      "\"~\"",
      "<think>",
      "</think>",
      "<tool_calls>",
      "</tool_calls>",
      "<function_call>",
      "```typescript",
      "```",
      "functions.",
      "f(",
      ")",
      ";",
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      "\"",
      "\\",
      "\\u00",
      "\n",
      " ",
      "<",
      "</",
      "name",
      "\"name\"",
      "\"arguments\"",
      "\"parameters\"",
      "{\"a\": 1}",
      "null",
      "{\"name\": \"f\", \"arguments\": {\"a\": \"b\"}}",
      "{name: f, arguments: {}}",
      "1",
      "-0.5e3",
      "\\\"",
      "\"{\\\"a\\\": [",
      "text",
      "\xC3\xA9",
      "\xF0\x9F",
      "true"};
  std::mt19937_64 random(2);
  const std::vector<Case> cases = AllCases();
  int calls = 0;
  for (int round = 0; round < 60'000; ++round) {
    const Case& one = cases[random() % cases.size()];
    std::string answer = random() % 4 == 0 ? "<tool_calls>\n" : one.answer;
    const AnswerFormat format = random() % 8 == 0 ? kM1 : one.format;
    for (uint64_t left = 1 + random() % 12; left > 0; --left) {
      const size_t at = random() % 2 == 0 ? answer.size() : random() % (answer.size() + 1);
      answer.replace(at, random() % 8 == 0 ? random() % 6 : 0,
                     kFragments[random() % kFragments.size()]);
    }
    const std::vector<AnswerPiece> whole = ParseWhole(format, answer);
    ASSERT_EQ(WhatIsWrong(answer, whole), "") << answer;
    const auto some = [&random] { return 1 + random() % 8; };
    ASSERT_EQ(ParseInParts(format, answer, some), whole) << answer;
    for (const AnswerPiece& piece : whole) calls += piece.kind == Kind::kCall ? 1 : 0;
  }
  EXPECT_GT(calls, 10'000);
}

// Arguments, text and reasoning go out at once; only what may be markup waits.
TEST(AnswerParser, HoldsBackNoMoreThanItMust) {
  AnswerParser parser(kM1);
  const auto add = [&parser](std::string_view text) { return Show(parser.Add(text)); };
  EXPECT_EQ(add(" "), "");
  EXPECT_EQ(add("<think>\nLet"), "R Let");
  EXPECT_TRUE(parser.in_reasoning());
  EXPECT_EQ(add(" me\n"), "R  me");
  EXPECT_EQ(add("see</th"), "R \nsee");
  EXPECT_TRUE(parser.in_reasoning());
  EXPECT_EQ(add("ink>\n"), "");
  EXPECT_FALSE(parser.in_reasoning());
  EXPECT_EQ(add("\nI look. \n<"), "T I look.");
  EXPECT_EQ(add("b> "), "T  \n<b>");
  EXPECT_EQ(add("\n<tool_calls>\n"), "");
  EXPECT_EQ(add("{\"name\": \"look\", \"arguments\": "), "");
  EXPECT_EQ(add("{"), "C look | A {");
  EXPECT_EQ(add("\"at\": \"t"), "A \"at\": \"t");
  EXPECT_EQ(parser.calls(), 0);
  EXPECT_EQ(add("his\"}"), "A his\"} | E");
  EXPECT_EQ(parser.calls(), 1);
  EXPECT_EQ(add("}\n{\"arguments\": {}, \"name\": \"go"), "");
  EXPECT_EQ(add("\""), "C go | A {} | E");
  EXPECT_EQ(add("}\n"), "");
  EXPECT_EQ(add("oops"), "T \noops");
  EXPECT_EQ(add("\n</tool_calls>\n"), "");
  EXPECT_EQ(Show(parser.Finish()), "");
  EXPECT_EQ(parser.calls(), 2);
  EXPECT_FALSE(parser.in_reasoning());
}

TEST(AnswerParser, KnowsTheFormats) {
  for (const ChatFormat format : {ChatFormat::kM1, ChatFormat::kM1LlamaCpp}) {
    EXPECT_TRUE(AnswerFormatOf(format, true).reasoning);
    EXPECT_EQ(AnswerFormatOf(format, true).calls, CallFormat::kM1);
    EXPECT_TRUE(AnswerFormatOf(format, false).reasoning);
    EXPECT_EQ(AnswerFormatOf(format, false).calls, CallFormat::kNone);
  }
  for (const ChatFormat format : {ChatFormat::kText01, ChatFormat::kVl01}) {
    EXPECT_FALSE(AnswerFormatOf(format, true).reasoning);
    EXPECT_EQ(AnswerFormatOf(format, true).calls, CallFormat::kText01);
    EXPECT_EQ(AnswerFormatOf(format, false).calls, CallFormat::kNone);
  }
}

// Calls as this project's own templates write them down are read back.
TEST(AnswerParser, ReadsWhatTheChatFormatsWrite) {
  const Json request = {
      {"messages",
       {{{"role", "user"}, {"content", "q"}},
        {{"role", "assistant"},
         {"content", nullptr},
         {"tool_calls",
          {{{"function", {{"name", "f"}, {"arguments", "{\"a\": \"<b> ``` )\\n\"}"}}}},
           {{"function", {{"name", "g"}, {"arguments", "{}"}}}}}}}}},
      {"add_generation_prompt", false}};
  for (const std::string& name : ChatFormatNames()) {
    const ChatFormat format = *ChatFormatFromName(name);
    const auto prompt = FormatChat(format, request);
    ASSERT_TRUE(prompt.has_value()) << prompt.error().message;
    std::string answer;
    for (const PromptPiece& piece : *prompt) answer += piece.in_loss ? piece.text : "";
    constexpr std::string_view kEnd = "<end_of_sentence>";
    ASSERT_TRUE(answer.ends_with(kEnd)) << answer;
    answer.resize(answer.size() - kEnd.size());
    EXPECT_EQ(Show(ParseWhole(AnswerFormatOf(format, true), answer)),
              "C f | A {\"a\": \"<b> ``` )\\n\"} | E | C g | A {} | E")
        << answer;
    const std::string text = "T " + answer;
    EXPECT_EQ(Show(ParseWhole(AnswerFormatOf(format, false), answer)), text);
  }
}

// Looking at anything again for every byte would take hours here.
TEST(AnswerParser, IsLinear) {
  constexpr size_t kBytes = 2'000'000;
  const std::string m1 = "<tool_calls>\n";
  const std::string text01 = "<function_call>```typescript\n";
  struct Repeated {
    AnswerFormat format;
    std::string head;
    std::string unit;
  };
  for (const Repeated& one :
       std::vector<Repeated>{{kM1, "", "<"},
                             {kM1, "", "\n"},
                             {kM1, "", "\n<tool_calls>"},
                             {kM1, "<think>", "\n</think"},
                             {kM1, m1, "\n"},
                             {kM1, m1, "{"},
                             {kM1, m1, "[{}"},
                             {kM1, m1, "{\"a\":"},
                             {kM1, m1, "{\"arguments\": {\"a\": "},
                             {kM1, m1 + "{\"arguments\": \"", "\\u0020"},
                             {kM1, m1 + "{\"name\": \"", "x"},
                             {kM1, m1 + "{\"name\": \"f\", \"arguments\": {\"", "\\n"},
                             {kM1, m1, "{name:f}"},
                             {kM1, m1 + "{name:f,arguments:{}", ",x:{}\n"},
                             {kM1, m1 + "x", " </t"},
                             {kText01, text01, "f"},
                             {kText01, text01 + "functions.", "f"},
                             {kText01, text01, "functions.f({\n"},
                             {kText01, "<function_call>", "\n"},
                             {kText01, "", "<function_call>```\n"}}) {
    std::string answer = one.head;
    while (answer.size() < kBytes) answer += one.unit;
    size_t given = 0;
    for (const AnswerPiece& piece : ParseWhole(one.format, answer)) given += piece.text.size();
    EXPECT_LE(given, answer.size()) << one.head << one.unit;
  }
}

}  // namespace
}  // namespace fulmen
