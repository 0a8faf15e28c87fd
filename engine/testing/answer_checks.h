// What holds for the pieces of any answer, for the tests of AnswerParser and its fuzz target.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "engine/answer_parser.h"
#include "engine/json_scanner.h"

namespace fulmen {

inline constexpr AnswerFormat kPlain = {false, CallFormat::kNone};
inline constexpr AnswerFormat kM1 = {true, CallFormat::kM1};
inline constexpr AnswerFormat kText01 = {false, CallFormat::kText01};

// The pieces of an answer that arrives cut: `next_size()` is the size of each part, 0 allowed.
template <typename NextSize>
std::vector<AnswerPiece> ParseInParts(AnswerFormat format, std::string_view answer,
                                      NextSize next_size) {
  AnswerParser parser(format);
  std::vector<AnswerPiece> pieces;
  const auto take = [&pieces](std::vector<AnswerPiece> more) {
    for (AnswerPiece& piece : more) {
      if (!pieces.empty() && pieces.back().kind == piece.kind) {
        pieces.back().text += piece.text;
      } else {
        pieces.push_back(std::move(piece));
      }
    }
  };
  while (!answer.empty()) {
    const std::string_view part = answer.substr(0, next_size());
    take(parser.Add(part));
    answer.remove_prefix(part.size());
  }
  take(parser.Finish());
  return pieces;
}

inline std::vector<AnswerPiece> ParseWhole(AnswerFormat format, std::string_view answer) {
  return ParseInParts(format, answer, [answer] { return answer.size(); });
}

// Without a call every byte is told: the text, and reasoning in its tags. Empty if so.
inline std::string WrongWithoutCalls(std::string_view answer,
                                     const std::vector<AnswerPiece>& pieces) {
  std::string reasoning;
  std::string text;
  for (const AnswerPiece& piece : pieces) {
    (piece.kind == AnswerPiece::Kind::kReasoning ? reasoning : text) += piece.text;
  }
  if (reasoning.empty() && text == answer) return "";
  const auto skip = [&answer](std::string_view expected) {
    const bool there = answer.substr(0, expected.size()) == expected;
    if (there) answer.remove_prefix(expected.size());
    return there;
  };
  const auto skip_space = [&answer] {
    while (!answer.empty() && IsJsonSpace(answer[0])) answer.remove_prefix(1);
  };
  skip_space();
  if (!skip("<think>")) return "text is lost";
  skip("\n");
  if (!skip(reasoning)) return "reasoning is not what was written";
  if (answer.empty()) return text.empty() ? "" : "text is made up";
  skip("\n");
  if (!skip("</think>")) return "reasoning ends too early";
  skip_space();
  return text == answer ? "" : "text is lost after reasoning";
}

// Bytes that no markup, number or word has, and which therefore may be dropped only within a string
// of a key or value that does not matter. That has a quote before and after it in its line.
inline std::vector<size_t> CountUnlikeMarkup(std::string_view text, bool between_quotes) {
  constexpr std::string_view kUnlikeMarkup = "!#$%&'*=?@^|~";
  std::vector<size_t> counts(kUnlikeMarkup.size(), 0);
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    const size_t first = line.find('"');
    const size_t last = line.rfind('"');
    for (size_t i = 0; i < line.size(); ++i) {
      const size_t which = kUnlikeMarkup.find(line[i]);
      if (which == std::string_view::npos) continue;
      const bool quoted = first != std::string_view::npos && i > first && i < last;
      if (between_quotes || !quoted) ++counts[which];
    }
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return counts;
}

// With calls: text and reasoning stand in the answer, in order, and what is no markup is somewhere.
inline std::string WrongWithCalls(std::string_view answer, const std::vector<AnswerPiece>& pieces) {
  std::string all;
  size_t at = 0;
  for (const AnswerPiece& piece : pieces) {
    all += piece.text;
    if (piece.kind != AnswerPiece::Kind::kReasoning && piece.kind != AnswerPiece::Kind::kText) {
      continue;
    }
    for (const char byte : piece.text) {
      at = answer.find(byte, at);
      if (at == std::string_view::npos) return "this is made up: " + piece.text;
      ++at;
    }
  }
  const std::vector<size_t> written = CountUnlikeMarkup(answer, false);
  const std::vector<size_t> given = CountUnlikeMarkup(all, true);
  for (size_t i = 0; i < written.size(); ++i) {
    if (given[i] < written[i]) return "text is lost beside a call";
  }
  return "";
}

// Whether the arguments are an object, or when not `whole` the beginning of one.
inline bool AreArguments(const std::string& arguments, bool whole) {
  JsonScanner scanner;
  JsonScanner::Step step = JsonScanner::Step::kBad;
  for (const char byte : arguments) {
    step = scanner.Add(byte);
    if (step == JsonScanner::Step::kBad) return false;
  }
  if (arguments.empty() || arguments[0] != '{') return false;
  if (!whole) return true;
  const Json value = Json::parse(arguments, nullptr, false);
  return step == JsonScanner::Step::kDone && value.is_object();
}

// What is wrong about the pieces, joined as ParseInParts does; empty if nothing is.
inline std::string WhatIsWrong(std::string_view answer, const std::vector<AnswerPiece>& pieces) {
  using Kind = AnswerPiece::Kind;
  bool has_call = false;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const AnswerPiece& piece = pieces[i];
    if (piece.text.empty() != (piece.kind == Kind::kCallEnd)) return "a piece is empty";
    const bool after_call = i > 0 && pieces[i - 1].kind == Kind::kCall;
    const bool after_arguments = i > 0 && pieces[i - 1].kind == Kind::kArguments;
    if (after_call != (piece.kind == Kind::kArguments)) return "arguments do not follow the call";
    if (piece.kind == Kind::kCallEnd && !after_arguments) return "the end follows no arguments";
    if (piece.kind == Kind::kReasoning && i > 0) return "reasoning is not the beginning";
    has_call = has_call || piece.kind == Kind::kCall;
    if (piece.kind != Kind::kArguments) continue;
    const bool ends = i + 1 < pieces.size() && pieces[i + 1].kind == Kind::kCallEnd;
    if (!AreArguments(piece.text, ends)) return "these are no arguments: " + piece.text;
  }
  if (!pieces.empty() && pieces.back().kind == Kind::kCall) return "a call has no arguments";
  return has_call ? WrongWithCalls(answer, pieces) : WrongWithoutCalls(answer, pieces);
}

}  // namespace fulmen
