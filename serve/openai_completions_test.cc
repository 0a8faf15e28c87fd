#include "serve/openai_completions.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "serve/testing/openai_stream.h"
#include "serve/testing/random_answer.h"

namespace fulmen {
namespace {

using testing::ChunksIn;
using testing::StartOf;

std::unique_ptr<ApiCall> ParsedCompletions(const std::string& body) {
  auto call = ParseOpenAiCompletions(Json::parse(body));
  EXPECT_TRUE(call) << call.error().param << ": " << call.error().message;
  return call ? *std::move(call) : nullptr;
}

TEST(OpenAiCompletions, PromptsOfEveryShape) {
  const auto one = ParsedCompletions(R"({"prompt":"Hello"})");
  EXPECT_EQ(std::get<TextPrompt>(one->generations().at(0).prompt).text, "Hello");
  EXPECT_EQ(one->generations()[0].max_tokens, 16);
  EXPECT_FALSE(one->generations()[0].max_tokens_must_fit);

  const auto tokens = ParsedCompletions(R"({"prompt":[5,6],"max_tokens":0,"echo":true})");
  ASSERT_EQ(tokens->generations().size(), 1U);
  EXPECT_EQ(std::get<TokenPrompt>(tokens->generations()[0].prompt).ids,
            (std::vector<int32_t>{5, 6}));
  EXPECT_EQ(tokens->generations()[0].max_tokens, 0);
  EXPECT_TRUE(tokens->generations()[0].max_tokens_must_fit);

  const auto several =
      ParsedCompletions(R"({"prompt":["a","b",[7]],"n":2,"logprobs":0,"stop":"x"})");
  ASSERT_EQ(several->generations().size(), 3U);
  EXPECT_EQ(std::get<TextPrompt>(several->generations()[1].prompt).text, "b");
  EXPECT_EQ(std::get<TokenPrompt>(several->generations()[2].prompt).ids, std::vector<int32_t>{7});
  for (const Generation& generation : several->generations()) {
    EXPECT_EQ(generation.choices, 2);
    EXPECT_EQ(generation.top_logprobs, 0);
    EXPECT_EQ(generation.stop, std::vector<std::string>{"x"});
  }
}

TEST(OpenAiCompletions, ErrorsNameTheField) {
  const auto param_of = [](const std::string& body) {
    const auto call = ParseOpenAiCompletions(Json::parse(body));
    EXPECT_FALSE(call) << body;
    return call ? "" : call.error().param;
  };
  EXPECT_EQ(param_of("{}"), "prompt");
  EXPECT_EQ(param_of(R"({"prompt":""})"), "prompt");
  EXPECT_EQ(param_of(R"({"prompt":[]})"), "prompt");
  EXPECT_EQ(param_of(R"({"prompt":[1,"a"]})"), "prompt");
  EXPECT_EQ(param_of(R"({"prompt":[1.5]})"), "prompt");
  EXPECT_EQ(param_of(R"({"prompt":[-1]})"), "prompt");
  EXPECT_EQ(param_of(R"({"prompt":["a",1]})"), "prompt[1]");
  EXPECT_EQ(param_of(R"({"prompt":["a",[]]})"), "prompt[1]");
  EXPECT_EQ(param_of(R"({"prompt":[[1],[2,"a"]]})"), "prompt[1]");
  EXPECT_EQ(param_of(R"({"prompt":"a","suffix":"b"})"), "suffix");
  EXPECT_EQ(param_of(R"({"prompt":"a","best_of":2})"), "best_of");
  EXPECT_EQ(param_of(R"({"prompt":"a","best_of":2,"n":2,"stream":true})"), "best_of");
  EXPECT_EQ(param_of(R"({"prompt":"a","logprobs":6})"), "logprobs");
  EXPECT_EQ(param_of(R"({"prompt":"a","logprobs":1,"echo":true})"), "logprobs");
  EXPECT_EQ(param_of(R"({"prompt":"a","response_format":{"type":"xml"}})"), "response_format.type");
  std::string many = R"({"n":128,"prompt":["a")";
  for (int i = 0; i < 8; ++i) many += ",\"a\"";
  EXPECT_EQ(param_of(many + "]}"), "n");
  ParsedCompletions(R"({"prompt":"a","suffix":"","best_of":1,"stream":true})");
}

TEST(OpenAiCompletions, EchoGivesThePromptBack) {
  const Tokenizer& tokenizer = testing::NanoTokenizer();
  const std::vector<int32_t> ids = tokenizer.Encode("caf\u00e9", Tokenizer::Markers::kPlain);
  const auto call = ParsedCompletions(R"({"prompt":["<x>",[1]],"echo":true,"stream":true})");
  std::vector<AnswerStart> starts;
  starts.push_back(StartOf(1));
  starts.push_back(StartOf(1, ids));
  std::string out;
  call->Begin(std::move(starts), out);
  for (size_t i = 0; i < 2; ++i) {
    call->On(i, AnswerDelta{0, {AnswerPiece::Kind::kText, "!"}}, out);
    call->On(i, AnswerFinished{.reason = FinishReason::kLength, .ids = {}}, out);
    call->On(i, RequestDone{.usage = {3, 1, 1, 0}, .timings = {}, .status = {}}, out);
  }
  const Json whole = call->Answer();
  EXPECT_EQ(whole["choices"][0]["text"], "<x>!");
  EXPECT_EQ(whole["choices"][1]["text"], "caf\u00e9!");
  EXPECT_EQ(whole["usage"]["prompt_tokens"], 6);
  EXPECT_EQ(whole["usage"]["completion_tokens"], 2);
  const std::vector<Json> chunks = ChunksIn(out);
  ASSERT_EQ(chunks.size(), 6U);
  EXPECT_EQ(chunks[1]["choices"].dump(),
            "[{\"text\":\"caf\u00e9\",\"index\":1,\"logprobs\":null,\"finish_reason\":null}]");
  EXPECT_EQ(chunks[5]["choices"].dump(),
            R"([{"text":"","index":1,"logprobs":null,"finish_reason":"length"}])");
}

TEST(OpenAiCompletions, LogprobsInTheirOldShape) {
  const Tokenizer& tokenizer = testing::NanoTokenizer();
  const std::vector<int32_t> ids = tokenizer.Encode("caf\u00e9s", Tokenizer::Markers::kPlain);
  const auto call = ParsedCompletions(R"({"prompt":"x","logprobs":1})");
  std::vector<AnswerStart> starts;
  starts.push_back(StartOf(1));
  std::string out;
  call->Begin(std::move(starts), out);
  std::vector<int64_t> offsets;
  std::string text;
  for (const int32_t id : ids) {
    call->On(0, TokenSampled{0, id, -1.0, {{65, -0.5}}}, out);
    int64_t characters = 0;
    for (const char c : text) characters += (c & 0xC0) != 0x80 ? 1 : 0;
    offsets.push_back(characters);
    text += *tokenizer.TokenBytes(id);
  }
  call->On(0, AnswerDelta{0, {AnswerPiece::Kind::kText, text}}, out);
  call->On(0, AnswerFinished{.reason = FinishReason::kStop, .ids = {}, .stop_string = "S"}, out);
  call->On(0, RequestDone{}, out);
  const Json choice = call->Answer()["choices"][0];
  EXPECT_EQ(choice["stop_reason"], "S");
  const Json& logprobs = choice["logprobs"];
  EXPECT_EQ(logprobs["text_offset"], Json(offsets));
  ASSERT_EQ(logprobs["tokens"].size(), ids.size());
  EXPECT_EQ(logprobs["token_logprobs"], Json(std::vector<double>(ids.size(), -1.0)));
  EXPECT_EQ(logprobs["top_logprobs"][0].size(), 2U);  // the sampled one is always among them
}

// Chunks of several prompts and choices, in any order, are the whole answer.
TEST(OpenAiCompletions, AStreamIsTheWholeAnswer) {
  RandomStream random(5);
  for (int round = 0; round < 1000; ++round) {
    const size_t prompts = 1 + random.Next() % 3;
    const size_t n = 1 + random.Next() % 3;
    const bool logprobs = random.Next() % 2 == 0;
    Json body = {{"n", n}, {"stream", true}, {"stream_options", {{"include_usage", true}}}};
    for (size_t i = 0; i < prompts; ++i) body["prompt"].push_back("p");
    if (logprobs) body["logprobs"] = 2;
    auto call = *ParseOpenAiCompletions(body);

    std::vector<AnswerStart> starts;
    std::vector<std::vector<std::pair<size_t, Event>>> each(prompts);
    for (size_t i = 0; i < prompts; ++i) {
      starts.push_back(StartOf(n));
      for (Event& event :
           testing::RandomEvents({.structured = false, .logprobs = logprobs}, n, random)) {
        each[i].emplace_back(i, std::move(event));
      }
    }
    std::string out;
    call->Begin(std::move(starts), out);
    for (const auto& [prompt, event] : testing::Interleaved(std::move(each), random)) {
      call->On(prompt, event, out);
    }

    Json whole = call->Answer();
    std::vector<Json> chunks = ChunksIn(out);
    EXPECT_EQ(chunks.back()["usage"], whole["usage"]);
    EXPECT_TRUE(chunks.back()["choices"].empty());
    chunks.pop_back();
    std::map<size_t, Json> choices;
    for (const Json& chunk : chunks) {
      EXPECT_EQ(chunk["object"], "text_completion");
      EXPECT_EQ(chunk["id"], whole["id"]);
      EXPECT_TRUE(chunk["usage"].is_null());
      const Json& part = chunk["choices"][0];
      Json& choice = choices[part["index"]];
      if (choice.is_null()) {
        choice = part;
        continue;
      }
      ASSERT_TRUE(choice["finish_reason"].is_null());
      testing::Append(choice["text"], part["text"]);
      choice["finish_reason"] = part["finish_reason"];
      if (part.contains("stop_reason")) choice["stop_reason"] = part["stop_reason"];
      if (part["logprobs"].is_null()) continue;
      for (const auto& [name, list] : part["logprobs"].items()) {
        for (const Json& one : list) choice["logprobs"][name].push_back(one);
      }
    }
    ASSERT_EQ(choices.size(), prompts * n);
    for (auto& [index, choice] : choices) ASSERT_EQ(choice, whole["choices"][index]) << out;
    EXPECT_EQ(whole["usage"]["prompt_tokens"], 3 * prompts);
  }
}

}  // namespace
}  // namespace fulmen
