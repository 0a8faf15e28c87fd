// For schema_oracle.py: what the grammar of a schema accepts, and texts that it writes itself.
// Reads {"schema", "instances": […], "walks": N, "seed": S} by the line and writes
// {"accepted": […], "walks": ["…"]} or {"error": "…"}.
#include <fmt/core.h>

#include <bit>
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/random.h"
#include "eval/instance_order.h"
#include "grammar/grammar.h"
#include "grammar/json_schema.h"
#include "grammar/matcher.h"
#include "grammar/token_trie.h"
#include "tokenizer/python_json.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {
namespace {

constexpr int kMostTokens = 2'000;

bool Accepts(const Json& value, const Matcher& start, InstanceOrder& order) {
  Matcher matcher = start;
  if (matcher.AcceptText(PythonJson(value)) && matcher.CanEnd()) return true;
  const auto ordered = order.Find(value, start);
  matcher = start;
  return ordered && matcher.AcceptText(PythonJson(*ordered)) && matcher.CanEnd();
}

// Tokens at random, up to so many, and then the way to the end.
Result<std::string> Walk(const Matcher& start, const TokenTrie& tokens, RandomStream& random) {
  Matcher matcher = start;
  std::string text;
  const int most = 1 + static_cast<int>(random.Uniform() * kMostTokens);
  for (int count = 0; count < most && !matcher.MustEnd(); ++count) {
    // Often enough to see whole values, a short way instead of a long one.
    if (matcher.CanEnd() && random.Uniform() < 0.05) return text;
    FULMEN_ASSIGN(const auto mask, matcher.Mask());
    std::vector<int32_t> allowed;
    for (size_t word = 0; word < mask.size(); ++word) {
      for (uint64_t left = mask[word]; left != 0; left &= left - 1) {
        allowed.push_back(static_cast<int32_t>(64 * word) + std::countr_zero(left));
      }
    }
    if (allowed.empty()) return Fail(ErrorCode::kCorrupt, "a dead end behind {}", text);
    const auto pick = static_cast<size_t>(random.Uniform() * static_cast<double>(allowed.size()));
    const int32_t token = allowed[pick];
    text += tokens.BytesOf(token);
    FULMEN_TRY(matcher.Accept(token));
  }
  FULMEN_ASSIGN(const std::string rest, matcher.WayToEnd());
  FULMEN_TRY(matcher.AcceptText(rest));
  if (!matcher.CanEnd()) return Fail(ErrorCode::kCorrupt, "no end behind {}{}", text, rest);
  return text + rest;
}

Result<Json> Answer(const Json& question, const std::shared_ptr<const TokenTrie>& tokens) {
  auto grammar = std::make_shared<Grammar>();
  std::vector<std::string> left_out;
  FULMEN_ASSIGN(const Expr schema,
                AddJsonSchema(*grammar, question["schema"], {.strict = true}, left_out));
  Json answer{{"accepted", Json::array()}, {"walks", Json::array()}};
  if (const Status finished = grammar->Finish(schema); !finished) {
    if (finished.error().code != ErrorCode::kInvalidArgument) {
      return tl::unexpected(finished.error());
    }
    for (size_t at = 0; at < question["instances"].size(); ++at) {
      answer["accepted"].push_back(false);
    }
    return answer;
  }
  const Matcher start(grammar, tokens);
  InstanceOrder order(question["schema"]);
  for (const Json& value : question["instances"]) {
    answer["accepted"].push_back(Accepts(value, start, order));
  }
  RandomStream random(question["seed"].get<uint64_t>());
  for (int walk = 0; walk < question["walks"].get<int>(); ++walk) {
    auto text = Walk(start, *tokens, random);
    if (!text) return Fail(ErrorCode::kCorrupt, "WALK: {}", text.error().message);
    answer["walks"].push_back(*text);
  }
  return answer;
}

int Main(const std::string& tokenizer_path) {
  const Result<Tokenizer> tokenizer = Tokenizer::Load(tokenizer_path);
  if (!tokenizer) {
    std::cerr << tokenizer.error().message << "\n";
    return 1;
  }
  const auto tokens = TokenTrie::Build(*tokenizer);
  for (std::string line; std::getline(std::cin, line);) {
    const auto question = ParseJson(line, "question");
    const auto answer = question ? Answer(*question, tokens) : question;
    const Json told = answer ? *answer : Json{{"error", answer.error().message}};
    std::cout << DumpJson(told) << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace fulmen

int main(int argc, char** argv) { return argc == 2 ? fulmen::Main(argv[1]) : 2; }
