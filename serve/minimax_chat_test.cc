#include "serve/minimax_chat.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "serve/testing/openai_stream.h"
#include "serve/testing/random_answer.h"

namespace fulmen {
namespace {

using testing::HandleOf;
using testing::StartOf;

Json MiniMaxBody(const std::string& more = "{}") {
  Json body = {{"model", "MiniMax-M1"}, {"messages", {{{"role", "user"}, {"content", "Hello"}}}}};
  body.update(Json::parse(more));
  return body;
}

std::unique_ptr<ApiCall> ParsedMiniMax(const Json& body) {
  auto call = ParseMiniMaxChat(body);
  EXPECT_TRUE(call) << call.error().param << ": " << call.error().message;
  return call ? *std::move(call) : nullptr;
}

TEST(MiniMaxChat, DefaultsAreThoseOfTheModelNamed) {
  const Generation m1 = ParsedMiniMax(MiniMaxBody())->generations().at(0);
  EXPECT_EQ(m1.max_tokens, 8192);
  EXPECT_EQ(m1.sampling.temperature, 1.0);
  EXPECT_EQ(m1.sampling.top_p, 0.95);
  const Generation text =
      ParsedMiniMax(MiniMaxBody(R"({"model":"MiniMax-Text-01","top_p":0.5})"))->generations().at(0);
  EXPECT_EQ(text.max_tokens, 2048);
  EXPECT_EQ(text.sampling.temperature, 0.1);
  EXPECT_EQ(text.sampling.top_p, 0.5);
  const Generation other =
      ParsedMiniMax(MiniMaxBody(R"({"model":"nano","max_tokens":5})"))->generations().at(0);
  EXPECT_EQ(other.max_tokens, 5);
  EXPECT_FALSE(other.sampling.temperature);
  EXPECT_EQ(ParsedMiniMax(MiniMaxBody(R"({"max_tokens":5,"max_completion_tokens":6})"))
                ->generations()
                .at(0)
                .max_tokens,
            6);
}

TEST(MiniMaxChat, WhatItDoesNotTakeIs2013) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"model":null})", "model"},
      {R"({"temperature":0})", "temperature"},
      {R"({"temperature":1.1})", "temperature"},
      {R"({"top_p":0})", "top_p"},
      {R"({"max_completion_tokens":0})", "max_completion_tokens"},
      {R"({"tools":[{"type":"function","function":{"name":"f"}}]})",
       "tools[0].function.description"},
      {R"({"tool_choice":"required"})", "tool_choice"},
      {R"({"tool_choice":{"type":"function","function":{"name":"f"}}})", "tool_choice"},
      {R"({"mask_sensitive_info":true})", "mask_sensitive_info"},
      {R"({"response_format":{"type":"json_schema","json_schema":{}}})",
       "response_format.json_schema.schema"},
      {R"({"n":2})", "n"},
      {R"({"logprobs":true})", "logprobs"},
      {R"({"messages":[{"role":"user_system","content":"x"}]})", "messages[0].role"},
      {R"({"messages":[{"role":"group","content":"x"}]})", "messages[0].role"},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]})",
       "messages[0].content[0].image_url.url"},
  };
  for (const auto& [more, param] : cases) {
    const auto call = ParseMiniMaxChat(MiniMaxBody(more));
    ASSERT_FALSE(call) << more;
    EXPECT_EQ(call.error().param, param) << more;
    const Json error = ErrorBody(ApiStyle::kMiniMax, call.error(), "id");
    // The shape has no place for the field's name but the message.
    EXPECT_TRUE(error["base_resp"]["status_msg"].get<std::string>().starts_with(call.error().param))
        << error;
    EXPECT_EQ(error["base_resp"]["status_code"], 2013);
    EXPECT_EQ(HttpStatusOf(ApiStyle::kMiniMax, call.error()), 200);
  }
  ParsedMiniMax(MiniMaxBody(
      R"({"mask_sensitive_info":false,"n":1,"tool_choice":"none","temperature":0.01})"));
}

TEST(MiniMaxChat, RolesOfItsOwn) {
  const auto call = ParsedMiniMax(MiniMaxBody(
      R"({"messages":[{"role":"system","name":"MiniMax AI"},
                      {"role":"sample_message_user","content":"a","name":"u"},
                      {"role":"sample_message_ai","content":"b"},
                      {"role":"user","content":"c"}]})"));
  EXPECT_EQ(std::get<ChatPrompt>(call->generations().at(0).prompt).messages.dump(),
            R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"},)"
            R"({"role":"user","content":"c"}])");
}

// Written out once, to the letter.
TEST(MiniMaxChat, AStreamToTheLetter) {
  const auto call = ParsedMiniMax(MiniMaxBody(R"({"stream":true})"));
  EXPECT_EQ(call->id().size(), 32U);
  EXPECT_EQ(call->id().find_first_not_of("0123456789abcdef"), std::string::npos);
  std::vector<AnswerStart> starts;
  starts.push_back(StartOf(1));
  std::string out;
  call->Begin(std::move(starts), out);
  EXPECT_EQ(out, "");
  const auto piece = [&](AnswerPiece::Kind kind, const std::string& text) {
    call->On(0, AnswerDelta{0, {kind, text}}, out);
  };
  piece(AnswerPiece::Kind::kReasoning, "why");
  piece(AnswerPiece::Kind::kText, "Hi");
  piece(AnswerPiece::Kind::kCall, "f");
  piece(AnswerPiece::Kind::kArguments, "{}");
  piece(AnswerPiece::Kind::kCallEnd, "");
  call->On(0, AnswerFinished{.reason = FinishReason::kToolCalls, .ids = {}}, out);
  call->On(0, RequestDone{.usage = {3, 2, 5, 1}, .timings = {}, .status = {}}, out);

  const std::vector<std::string> data = testing::DataIn(out);
  ASSERT_EQ(data.size(), 6U);  // and no [DONE]
  const std::string id = "\"id\":\"call_function_" + HandleOf(0) + "_0\"";
  const auto delta = [](const std::string& content, const std::string& more) {
    return R"({"content":")" + content +
           R"(","role":"assistant","name":"MiniMax AI","audio_content":"")" + more + "}";
  };
  const std::vector<std::string> deltas = {
      delta("", R"(,"reasoning_content":"why")"),
      delta("Hi", ""),
      delta("", ",\"tool_calls\":[{" + id +
                    R"(,"type":"function","function":{"name":"f","arguments":""},"index":0}])"),
      delta("", R"(,"tool_calls":[{"function":{"arguments":"{}"},"index":0}])"),
      delta("", ""),
  };
  for (size_t i = 0; i < deltas.size(); ++i) {
    const Json chunk = Json::parse(data[i]);
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    EXPECT_EQ(chunk["choices"][0]["delta"].dump(), deltas[i]);
    EXPECT_EQ(chunk["choices"][0]["finish_reason"].dump(), i == 4 ? "\"tool_calls\"" : "null");
  }
  EXPECT_EQ(Json::parse(data[5]), call->Answer());
  EXPECT_EQ(
      data[5],
      "{\"id\":\"" + call->id() +
          R"(","choices":[{"finish_reason":"tool_calls","index":0,"message":{"content":"Hi",)"
          R"("role":"assistant","name":"MiniMax AI","audio_content":"","reasoning_content":"why",)"
          R"("tool_calls":[{)" +
          id +
          R"(,"type":"function","function":{"name":"f","arguments":"{}"},"index":0}]}}],)"
          R"("created":1700000000,"model":"nano","object":"chat.completion",)"
          R"("input_sensitive":false,"output_sensitive":false,"input_sensitive_type":0,)"
          R"("output_sensitive_type":0,"output_sensitive_int":0,"usage":{"total_tokens":8,)"
          R"("total_characters":0,"prompt_tokens":3,"completion_tokens":5,)"
          R"("prompt_tokens_details":{"cached_tokens":2},)"
          R"("completion_tokens_details":{"reasoning_tokens":1}},)"
          R"("base_resp":{"status_code":0,"status_msg":""}})");
}

TEST(MiniMaxChat, AnErrorEndsAStream) {
  const auto call = ParsedMiniMax(MiniMaxBody(R"({"stream":true})"));
  std::vector<AnswerStart> starts;
  starts.push_back(StartOf(1));
  std::string out;
  call->Begin(std::move(starts), out);
  call->On(0, AnswerFinished{.reason = FinishReason::kError, .ids = {}}, out);
  call->Fail({ApiErrorKind::kInternal, "broken"}, out);
  EXPECT_EQ(out, "data: {\"id\":\"" + call->id() +
                     "\",\"choices\":null,\"created\":0,\"base_resp\":{\"status_code\":1013,"
                     "\"status_msg\":\"broken\"}}\n\n");
}

// The deltas of a stream are what its last event says.
TEST(MiniMaxChat, AStreamIsTheWholeAnswer) {
  RandomStream random(13);
  for (int round = 0; round < 1000; ++round) {
    const auto call = ParsedMiniMax(MiniMaxBody(R"({"stream":true})"));
    std::vector<AnswerStart> starts;
    starts.push_back(StartOf(1));
    std::string out;
    call->Begin(std::move(starts), out);
    for (const Event& event : testing::RandomEvents({}, 1, random)) call->On(0, event, out);
    std::vector<std::string> data = testing::DataIn(out);
    const Json last = Json::parse(data.back());
    data.pop_back();
    Json message = {
        {"content", ""}, {"role", "assistant"}, {"name", "MiniMax AI"}, {"audio_content", ""}};
    Json calls = Json::array();
    std::string reasoning;
    for (const std::string& one : data) {
      const Json delta = Json::parse(one)["choices"][0]["delta"];
      testing::Append(message["content"], delta["content"]);
      reasoning += delta.value("reasoning_content", "");
      if (!delta.contains("tool_calls")) continue;
      const Json& part = delta["tool_calls"][0];
      if (part["index"] == calls.size()) {
        calls.push_back(part);
      } else {
        testing::Append(calls.back()["function"]["arguments"], part["function"]["arguments"]);
      }
    }
    if (!reasoning.empty()) message["reasoning_content"] = reasoning;
    if (!calls.empty()) message["tool_calls"] = calls;
    ASSERT_EQ(last["choices"][0]["message"], message) << out;
    ASSERT_EQ(Json::parse(data.back())["choices"][0]["finish_reason"],
              last["choices"][0]["finish_reason"]);
  }
}

}  // namespace
}  // namespace fulmen
