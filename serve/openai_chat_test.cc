#include "serve/openai_chat.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "serve/testing/answer_events.h"
#include "serve/testing/openai_stream.h"
#include "serve/testing/random_answer.h"

namespace fulmen {
namespace {

using testing::ChatAssembler;
using testing::ChunksIn;
using testing::HandleOf;
using testing::Piece;
using testing::StartOf;

Json ChatBody(const std::string& more = "{}") {
  Json body = {{"model", "nano"}, {"messages", {{{"role", "user"}, {"content", "Hello"}}}}};
  body.update(Json::parse(more));
  return body;
}

std::unique_ptr<ApiCall> ParsedChat(const Json& body) {
  auto call = ParseOpenAiChat(body);
  EXPECT_TRUE(call) << call.error().param << ": " << call.error().message;
  return call ? *std::move(call) : nullptr;
}

Generation GenerationOf(const std::string& more) {
  return std::move(ParsedChat(ChatBody(more))->generations().at(0));
}

ApiError ChatError(const Json& body) {
  auto call = ParseOpenAiChat(body);
  EXPECT_FALSE(call) << body.dump();
  return call ? ApiError() : call.error();
}

// The stream of one choice, and what the call says whole.
std::pair<std::string, Json> Answered(const Json& body, const std::vector<Event>& events,
                                      size_t choices = 1) {
  const auto call = ParsedChat(body);
  std::string out;
  std::vector<AnswerStart> starts;
  starts.push_back(StartOf(choices));
  call->Begin(std::move(starts), out);
  for (const Event& event : events) call->On(0, event, out);
  return {out, call->Answer()};
}

TEST(OpenAiChat, TellsProgressWhereItIsAsked) {
  std::vector<Event> events = {PromptProgress{.read = 4, .total = 100, .cached = 4}};
  for (int64_t read = 5; read <= 100; ++read) {
    events.emplace_back(PromptProgress{.read = read, .total = 100, .cached = 4});
  }
  events.push_back(Piece(AnswerPiece::Kind::kText, "Hi"));
  events.emplace_back(AnswerFinished{.reason = FinishReason::kStop, .ids = {}});
  events.emplace_back(RequestDone{
      .usage = {.prompt_tokens = 100, .cached_tokens = 4, .output_tokens = 2, .read_tokens = 100},
      .timings = {.queue_seconds = 0.0015, .prompt_seconds = 2, .decode_seconds = 0.5},
      .status = {}});
  const Json timings = {{"cache_n", 4},      {"prompt_n", 96},   {"queue_ms", 1.5},
                        {"prompt_ms", 2000}, {"predicted_n", 2}, {"predicted_ms", 500}};

  const std::string asked = R"("stream":true,"return_progress":true)";
  const auto [stream, whole] = Answered(ChatBody("{" + asked + "}"), events);
  const std::vector<Json> chunks = ChunksIn(stream);
  std::vector<Json> told;
  for (const Json& chunk : chunks) {
    if (chunk.contains("prompt_progress")) told.push_back(chunk["prompt_progress"]);
  }
  // They came at once, so those between are left out.
  ASSERT_EQ(told.size(), 2U) << stream;
  EXPECT_EQ(told[0], Json({{"total", 100}, {"cache", 4}, {"processed", 4}, {"time_ms", 0}}));
  EXPECT_EQ(told[1]["processed"], 100);
  EXPECT_EQ(chunks.back()["timings"], timings);
  EXPECT_FALSE(chunks.back().contains("usage"));
  EXPECT_EQ(whole["timings"], timings);

  const std::string usage = R"(,"stream_options":{"include_usage":true})";
  const auto with_usage = ChunksIn(Answered(ChatBody("{" + asked + usage + "}"), events).first);
  EXPECT_EQ(with_usage.back()["timings"], timings);
  EXPECT_EQ(with_usage.back()["usage"]["prompt_tokens"], 100);
  EXPECT_EQ(with_usage.back()["choices"], Json::array());

  const auto [without, answer] = Answered(ChatBody(R"({"stream":true})"), events);
  EXPECT_EQ(without.find("prompt_progress"), std::string::npos);
  EXPECT_EQ(without.find("timings"), std::string::npos);
  EXPECT_FALSE(answer.contains("timings"));
  EXPECT_EQ(ChatError(ChatBody(R"({"return_progress":1})")).param, "return_progress");
}

TEST(OpenAiChat, ReadsWhatIsAsked) {
  const Generation generation = GenerationOf(
      R"({"temperature":0,"top_p":0.5,"n":3,"stop":["a","b"],"max_tokens":7,"seed":-1,
          "max_completion_tokens":9,"presence_penalty":1,"frequency_penalty":-1,"priority":4,
          "logit_bias":{"12":-100},"logprobs":true,"top_logprobs":2,"top_k":-1,"min_p":0.1,
          "repetition_penalty":1.1,"stop_token_ids":[5],"ignore_eos":true,"min_tokens":2})");
  EXPECT_EQ(generation.model, "nano");
  EXPECT_EQ(generation.choices, 3);
  EXPECT_EQ(generation.max_tokens, 9);
  EXPECT_EQ(generation.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(generation.stop_token_ids, std::vector<int32_t>{5});
  EXPECT_TRUE(generation.ignore_eos);
  EXPECT_EQ(generation.min_tokens, 2);
  EXPECT_EQ(generation.top_logprobs, 2);
  EXPECT_EQ(generation.priority, -4);
  EXPECT_EQ(generation.sampling.temperature, 0);
  EXPECT_EQ(generation.sampling.top_p, 0.5);
  EXPECT_EQ(generation.sampling.top_k, 0);
  EXPECT_EQ(generation.sampling.min_p, 0.1);
  EXPECT_EQ(generation.sampling.repetition_penalty, 1.1);
  EXPECT_EQ(generation.sampling.presence_penalty, 1);
  EXPECT_EQ(generation.sampling.frequency_penalty, -1);
  EXPECT_EQ(generation.sampling.seed, ~uint64_t{0});
  EXPECT_EQ(generation.sampling.logit_bias.at(12), -100);
}

TEST(OpenAiChat, NullIsAbsent) {
  const Generation generation = GenerationOf(
      R"({"temperature":null,"n":null,"stop":null,"max_completion_tokens":null,"tools":null,
          "tool_choice":null,"logprobs":null,"response_format":null,"stream_options":null,
          "logit_bias":null,"modalities":null,"audio":null,"parallel_tool_calls":null})");
  EXPECT_FALSE(generation.max_tokens);
  EXPECT_FALSE(generation.sampling.temperature);
  EXPECT_FALSE(generation.top_logprobs);
  EXPECT_EQ(generation.choices, 1);
  EXPECT_TRUE(std::get<ChatPrompt>(generation.prompt).tools.is_null());
}

TEST(OpenAiChat, WhatChangesNothingIsIgnored) {
  ParsedChat(ChatBody(
      R"({"store":true,"user":"u","metadata":{"a":"b"},"service_tier":"flex","moderation":{},
          "reasoning_effort":"xhigh","verbosity":"low","prompt_cache_key":"k","best_of":1,
          "prompt_cache_options":{},"prompt_cache_retention":"24h","web_search_options":{},
          "safety_identifier":"s","prediction":{"type":"content","content":"x"},"functions":[],
          "response_format":{"type":"text"},"modalities":["text"],"skip_special_tokens":true,
          "include_stop_str_in_output":false,"bad_words":[],"reasoning_split":true,
          "chat_template_kwargs":{"enable_thinking":true},"typical_p":1.0,"unheard_of":1})"));
}

struct WrongField {
  std::string more;
  ApiErrorKind kind;
  std::string param;
};

TEST(OpenAiChat, WhatIsNotThereIsRefusedByName) {
  constexpr ApiErrorKind kInvalid = ApiErrorKind::kInvalid;
  constexpr ApiErrorKind kUnsupported = ApiErrorKind::kUnsupported;
  const std::string tools = R"("tools":[{"type":"function","function":{"name":"f"}}])";
  const std::vector<WrongField> cases = {
      {R"({"temperature":2.1})", kInvalid, "temperature"},
      {R"({"temperature":"hot"})", kInvalid, "temperature"},
      {R"({"n":0})", kInvalid, "n"},
      {R"({"n":129})", kInvalid, "n"},
      {R"({"stop":["a","b","c","d","e"]})", kInvalid, "stop"},
      {R"({"top_logprobs":3})", kInvalid, "top_logprobs"},
      {R"({"logprobs":true,"top_logprobs":21})", kInvalid, "top_logprobs"},
      {R"({"logit_bias":{"x":1}})", kInvalid, "logit_bias"},
      {R"({"logit_bias":{"1":101}})", kInvalid, "logit_bias"},
      {R"({"max_tokens":-1})", kInvalid, "max_tokens"},
      {R"({"max_tokens":1,"min_tokens":2})", kInvalid, "min_tokens"},
      {R"({"messages":[]})", kInvalid, "messages"},
      {R"({"messages":null})", kInvalid, "messages"},
      {R"({"model":5})", kInvalid, "model"},
      {R"({"stream":1})", kInvalid, "stream"},
      {R"({"response_format":{"type":"xml"}})", kInvalid, "response_format.type"},
      {R"({"response_format":{"type":"json_schema","json_schema":{}}})", kInvalid,
       "response_format.json_schema.schema"},
      {R"({"tool_choice":"required"})", kInvalid, "tool_choice"},
      {"{" + tools + R"(,"tool_choice":{"type":"function","function":{"name":"g"}}})", kInvalid,
       "tool_choice.function.name"},
      {"{" + tools + R"(,"tool_choice":{"type":"custom","custom":{"name":"f"}}})", kInvalid,
       "tool_choice.type"},
      {"{" + tools + R"(,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto",)" +
           R"("tools":[{"type":"function","function":{"name":"g"}}]}}})",
       kInvalid, "tool_choice.allowed_tools.tools[0].function.name"},
      {"{" + tools + R"(,"tool_choice":"maybe"})", kInvalid, "tool_choice"},
      {R"({"tools":[{"type":"custom","custom":{"name":"f"}}]})", kUnsupported, "tools[0].type"},
      {R"({"tools":[{"type":"function","function":{"name":"f g"}}]})", kInvalid,
       "tools[0].function.name"},
      {R"({"tools":[{"type":"function","function":{"name":"f","parameters":"{}"}}]})", kInvalid,
       "tools[0].function.parameters"},
      {R"({"modalities":["text","audio"]})", kUnsupported, "modalities"},
      {R"({"functions":[{"name":"f"}]})", kUnsupported, "functions"},
      {R"({"prompt_logprobs":0})", kUnsupported, "prompt_logprobs"},
      {R"({"bad_words":["x"]})", kUnsupported, "bad_words"},
      {R"({"allowed_token_ids":[1]})", kUnsupported, "allowed_token_ids"},
      {R"({"structured_outputs":{"regex":"a","choice":["b"]}})", kInvalid,
       "structured_outputs.choice"},
      {R"({"guided_regex":"a","grammar":"g"})", kInvalid, "grammar"},
      {R"({"guided_choice":[]})", kInvalid, "guided_choice"},
      {R"({"guided_choice":["a",1]})", kInvalid, "guided_choice"},
      {R"({"structured_outputs":{"structural_tag":{}}})", kUnsupported,
       "structured_outputs.structural_tag"},
      {R"({"include_stop_str_in_output":true})", kUnsupported, "include_stop_str_in_output"},
      {R"({"skip_special_tokens":false})", kUnsupported, "skip_special_tokens"},
      {R"({"thinking_token_budget":5})", kUnsupported, "thinking_token_budget"},
      {R"({"typical_p":0.5})", kUnsupported, "typical_p"},
      {R"({"reasoning_split":false})", kUnsupported, "reasoning_split"},
      {R"({"continue_final_message":true})", kInvalid, "messages[0].role"},
      {R"({"continue_final_message":true,"add_generation_prompt":true})", kInvalid,
       "add_generation_prompt"},
  };
  for (const WrongField& wrong : cases) {
    const ApiError error = ChatError(ChatBody(wrong.more));
    EXPECT_EQ(error.kind, wrong.kind) << wrong.more;
    EXPECT_EQ(error.param, wrong.param) << wrong.more;
    EXPECT_FALSE(error.message.empty());
  }
  EXPECT_EQ(ChatError(Json::array()).kind, kInvalid);
}

TEST(OpenAiChat, ToolsAreShownUnlessNoneMayBeCalled) {
  const std::string tools =
      R"("tools":[{"type":"function","function":{"name":"f","description":"d","strict":false,
          "parameters":{"type":"object","properties":{},"maxLength":524288}}},
          {"type":"function","function":{"name":"g"},"x":1}])";
  const auto shown = [](const std::string& more) {
    return std::get<ChatPrompt>(GenerationOf(more).prompt).tools;
  };
  EXPECT_EQ(shown("{" + tools + "}").dump(),
            R"([{"type":"function","function":{"name":"f","description":"d","parameters":)"
            R"({"type":"object","properties":{},"maxLength":524288}}},)"
            R"({"type":"function","function":{"name":"g"}}])");
  EXPECT_TRUE(shown("{" + tools + R"(,"tool_choice":"none"})").is_null());
  EXPECT_TRUE(shown(R"({"tools":[]})").is_null());
  const Json allowed = shown("{" + tools +
                             R"(,"tool_choice":{"type":"allowed_tools","allowed_tools":{
          "mode":"auto","tools":[{"type":"function","function":{"name":"g"}}]}}})");
  ASSERT_EQ(allowed.size(), 1U);
  EXPECT_EQ(allowed[0]["function"]["name"], "g");
  EXPECT_TRUE(shown(R"({"tool_choice":"none",
      "tools":[{"type":"function","function":{"name":"f","strict":true}}]})")
                  .is_null());
}

TEST(OpenAiChat, ContinuesAFinalMessage) {
  const Generation generation = GenerationOf(
      R"({"continue_final_message":true,"messages":[{"role":"user","content":"x"},
          {"role":"assistant","content":"<think>a</think>b"}]})");
  const auto& prompt = std::get<ChatPrompt>(generation.prompt);
  EXPECT_TRUE(prompt.continue_final);
  EXPECT_FALSE(prompt.add_generation_prompt);
  EXPECT_EQ(prompt.messages[1].dump(), R"({"role":"assistant","content":"<think>a</think>b"})");
}

// Written out once, to the letter.
TEST(OpenAiChat, AStreamToTheLetter) {
  const auto [stream, whole] =
      Answered(ChatBody(R"({"stream":true,"stream_options":{"include_usage":true}})"),
               {PromptProgress{3, 3, 2}, Piece(AnswerPiece::Kind::kReasoning, "why"),
                Piece(AnswerPiece::Kind::kText, "Hi"), Piece(AnswerPiece::Kind::kCall, "f"),
                Piece(AnswerPiece::Kind::kArguments, "{\"a\":"),
                Piece(AnswerPiece::Kind::kArguments, "1}"), Piece(AnswerPiece::Kind::kCallEnd, ""),
                AnswerFinished{.reason = FinishReason::kToolCalls, .ids = {}},
                RequestDone{.usage = {3, 2, 5, 1}, .timings = {}, .status = {}}});
  const std::vector<Json> chunks = ChunksIn(stream);
  std::vector<std::string> choices;
  for (const Json& chunk : chunks) {
    choices.push_back(chunk["choices"].dump());
    EXPECT_TRUE(chunk["id"].get<std::string>().starts_with("chatcmpl-"));
  }
  const auto choice = [](const std::string& delta, const std::string& finish = "null") {
    return R"([{"index":0,"delta":)" + delta + R"(,"logprobs":null,"finish_reason":)" + finish +
           "}]";
  };
  EXPECT_EQ(choices,
            (std::vector<std::string>{
                choice(R"({"role":"assistant","content":""})"),
                choice(R"({"reasoning_content":"why"})"), choice(R"({"content":"Hi"})"),
                choice(R"({"tool_calls":[{"index":0,"id":"call_)" + HandleOf(0) +
                       R"(_0","type":"function","function":{"name":"f","arguments":""}}]})"),
                choice(R"({"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]})"),
                choice(R"({"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]})"),
                choice("{}", "\"tool_calls\""), "[]"}));
  EXPECT_TRUE(chunks[0]["usage"].is_null());
  EXPECT_EQ(
      chunks.back()["usage"].dump(),
      R"({"prompt_tokens":3,"completion_tokens":5,"total_tokens":8,"prompt_tokens_details":)"
      R"({"cached_tokens":2,"cache_write_tokens":0,"text_tokens":1,"image_tokens":0,)"
      R"("audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":1,"audio_tokens":0,)"
      R"("accepted_prediction_tokens":0,"rejected_prediction_tokens":0}})");
  EXPECT_EQ(whole["object"], "chat.completion");
  EXPECT_EQ(whole["model"], "nano");
  EXPECT_EQ(whole["choices"].dump(),
            R"([{"index":0,"message":{"role":"assistant","content":"Hi","refusal":null,)"
            R"("reasoning_content":"why","tool_calls":[{"id":"call_)" +
                HandleOf(0) +
                R"(_0","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},)"
                R"("logprobs":null,"finish_reason":"tool_calls"}])");
}

TEST(OpenAiChat, LogprobsAreThoseOfTheText) {
  const auto [stream, whole] = Answered(
      ChatBody(R"({"logprobs":true,"top_logprobs":1})"),
      {TokenSampled{0, 300, -0.5, {{300, -0.5}}}, Piece(AnswerPiece::Kind::kReasoning, "x"),
       TokenSampled{0, 301, -1.0, {{302, -0.25}}}, TokenSampled{0, 303, -1e99, {}},
       Piece(AnswerPiece::Kind::kText, "y"), TokenSampled{0, 304, -2.0, {}},
       AnswerFinished{.reason = FinishReason::kStop, .ids = {}, .stop_string = "END"},
       RequestDone{}});
  EXPECT_EQ(stream, "");
  const Json& choice = whole["choices"][0];
  EXPECT_EQ(choice["stop_reason"], "END");
  const Json& content = choice["logprobs"]["content"];
  ASSERT_EQ(content.size(), 2U);
  EXPECT_EQ(content[0]["logprob"], -1.0);
  EXPECT_EQ(content[0]["top_logprobs"].size(), 1U);
  EXPECT_EQ(content[1]["logprob"], -9999.0);
  const Tokenizer& tokenizer = testing::NanoTokenizer();
  EXPECT_EQ(content[0]["token"], *tokenizer.TokenBytes(301));
  EXPECT_EQ(content[0]["bytes"].size(), tokenizer.TokenBytes(301)->size());
  EXPECT_TRUE(choice["logprobs"]["refusal"].is_null());
}

TEST(OpenAiChat, BytesThatAreNoTextAloneAreTold) {
  const Tokenizer& tokenizer = testing::NanoTokenizer();
  int32_t half = 0;
  while (tokenizer.TokenBytes(half) != "\xC3") ++half;
  const auto [stream, whole] =
      Answered(ChatBody(R"({"logprobs":true,"stream":true})"),
               {TokenSampled{0, half, -0.5, {}}, Piece(AnswerPiece::Kind::kText, "\u00e9"),
                AnswerFinished{.reason = FinishReason::kStop, .ids = {}}, RequestDone{}});
  const Json token = ChunksIn(stream).at(1)["choices"][0]["logprobs"]["content"][0];
  EXPECT_EQ(token["token"], "\uFFFD");
  EXPECT_EQ(token["bytes"], Json({0xC3}));
}

TEST(OpenAiChat, OneCallEndsTheAnswer) {
  std::vector<Event> events;
  for (const char* name : {"f", "g"}) {
    events.push_back(Piece(AnswerPiece::Kind::kText, "t"));
    events.push_back(Piece(AnswerPiece::Kind::kCall, name));
    events.push_back(Piece(AnswerPiece::Kind::kArguments, "{}"));
    if (*name == 'f') events.push_back(Piece(AnswerPiece::Kind::kCallEnd, ""));
  }
  events.emplace_back(AnswerFinished{.reason = FinishReason::kLength, .ids = {}});
  events.emplace_back(RequestDone{});
  const Json one = Answered(ChatBody(R"({"parallel_tool_calls":false})"), events).second;
  EXPECT_EQ(one["choices"][0]["message"]["tool_calls"].size(), 1U);
  EXPECT_EQ(one["choices"][0]["message"]["content"], "t");
  EXPECT_EQ(one["choices"][0]["finish_reason"], "tool_calls");
  const Json two = Answered(ChatBody(), events).second;
  EXPECT_EQ(two["choices"][0]["message"]["tool_calls"].size(), 2U);
  EXPECT_EQ(two["choices"][0]["finish_reason"], "length");
}

TEST(OpenAiChat, ReasoningMayBeLeftOut) {
  const std::vector<Event> events = {
      Piece(AnswerPiece::Kind::kReasoning, "why"), Piece(AnswerPiece::Kind::kText, "Hi"),
      AnswerFinished{.reason = FinishReason::kStop, .ids = {}}, RequestDone{}};
  const auto [stream, whole] =
      Answered(ChatBody(R"({"include_reasoning":false,"stream":true})"), events);
  EXPECT_EQ(ChunksIn(stream).size(), 3U);
  EXPECT_EQ(stream.find("why"), std::string::npos);
  EXPECT_FALSE(whole["choices"][0]["message"].contains("reasoning_content"));
}

TEST(OpenAiChat, AnErrorEndsAStream) {
  const auto call = ParsedChat(ChatBody(R"({"stream":true})"));
  std::string out;
  std::vector<AnswerStart> starts;
  starts.push_back(StartOf(1));
  call->Begin(std::move(starts), out);
  call->On(0, AnswerFinished{.reason = FinishReason::kError, .ids = {}}, out);
  call->Fail({ApiErrorKind::kInternal, "broken"}, out);
  const std::vector<Json> chunks = ChunksIn(out);
  ASSERT_EQ(chunks.size(), 2U);
  EXPECT_EQ(chunks[1].dump(),
            R"({"error":{"message":"broken","type":"server_error","param":null,"code":null}})");
}

// For everybody who puts a stream together as OpenAI's client does, it is the whole answer.
TEST(OpenAiChat, AStreamIsTheWholeAnswer) {
  RandomStream random(11);
  for (int round = 0; round < 2000; ++round) {
    const size_t choices = 1 + random.Next() % 3;
    const bool logprobs = random.Next() % 2 == 0;
    const bool include_usage = random.Next() % 2 == 0;
    Json body = ChatBody();
    body["n"] = choices;
    body["logprobs"] = logprobs;
    body["stream"] = true;
    body["parallel_tool_calls"] = random.Next() % 3 > 0;
    body["include_reasoning"] = random.Next() % 3 > 0;
    body["stream_options"] = {{"include_usage", include_usage}};
    const std::vector<Event> events =
        testing::RandomEvents({.structured = true, .logprobs = logprobs}, choices, random);
    auto [stream, whole] = Answered(body, events, choices);
    Json assembled = ChatAssembler(include_usage).Whole(ChunksIn(stream));
    for (Json& choice : whole["choices"]) {
      Json& message = choice["message"];
      message.erase("refusal");
      if (message.value("content", Json()) == Json("")) {
        message["content"] = nullptr;  // as the client has it
      }
    }
    whole.erase("object");
    if (!include_usage) whole.erase("usage");
    const nlohmann::json unordered = nlohmann::json::parse(whole.dump());
    ASSERT_EQ(nlohmann::json::parse(assembled.dump()), unordered) << stream;
  }
}

}  // namespace
}  // namespace fulmen
