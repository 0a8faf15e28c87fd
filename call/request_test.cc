#include "call/request.h"

#include <gtest/gtest.h>

#include <string>

namespace fulmen {
namespace {

constexpr const char* kPicture = "data:image/png;base64,AAAA";

Json Tools() {
  return ReadTools(Json::parse(R"([{"name": "weather", "input_schema": {"type": "object"}}])"),
                   "tools")
      .value();
}

// A whole conversation: a picture, a call, its result, an answer.
CallRequest Whole() {
  CallRequest request = {.model = "m",
                         .system = "Be brief.",
                         .tools = Tools(),
                         .schema = {{"type", "object"}},
                         .max_tokens = 7};
  const ReplyCall call = {.id = "c1", .name = "weather", .arguments = R"({"city":"Rome"})"};
  request.messages = {
      UserMessage("What is it?", {kPicture, "https://a.example/b.png"}),
      AssistantMessage(
          {.text = "I look.", .reasoning = "Hm.", .signature = "s", .calls = {call, call}}),
      ToolMessage(call, "Rain."), ToolMessage(call, "Sun."), UserMessage("Well?", {})};
  request.fields = {{"temperature", 0.5}, {"model", "other"}};
  return request;
}

TEST(Request, OfOpenai) {
  EXPECT_EQ(RequestBody(Api::kOpenai, Whole()), Json::parse(R"({
    "model": "other",
    "messages": [
      {"role": "system", "content": "Be brief."},
      {"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
        {"type": "text", "text": "What is it?"}]},
      {"role": "assistant", "content": "I look.", "tool_calls": [
        {"id": "c1", "type": "function",
         "function": {"name": "weather", "arguments": "{\"city\":\"Rome\"}"}},
        {"id": "c1", "type": "function",
         "function": {"name": "weather", "arguments": "{\"city\":\"Rome\"}"}}]},
      {"role": "tool", "tool_call_id": "c1", "name": "weather", "content": "Rain."},
      {"role": "tool", "tool_call_id": "c1", "name": "weather", "content": "Sun."},
      {"role": "user", "content": "Well?"}],
    "max_completion_tokens": 7,
    "tools": [{"type": "function",
               "function": {"name": "weather", "parameters": {"type": "object"}}}],
    "response_format": {"type": "json_schema", "json_schema":
      {"name": "answer", "schema": {"type": "object"}, "strict": true}},
    "stream": true,
    "stream_options": {"include_usage": true},
    "temperature": 0.5})"));
}

TEST(Request, OfMinimax) {
  CallRequest request = Whole();
  request.stream = false;
  const Json body = RequestBody(Api::kMinimax, request);
  EXPECT_EQ(body["tools"][0]["function"]["description"], "");  // which it requires
  EXPECT_EQ(body["response_format"]["json_schema"],
            Json::parse(R"({"name": "answer", "schema": {"type": "object"}})"));
  EXPECT_EQ(body["stream"], false);
  EXPECT_FALSE(body.contains("stream_options"));
}

TEST(Request, OfAnthropic) {
  EXPECT_EQ(RequestBody(Api::kAnthropic, Whole()), Json::parse(R"({
    "model": "other",
    "max_tokens": 7,
    "system": "Be brief.",
    "messages": [
      {"role": "user", "content": [
        {"type": "image",
         "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}},
        {"type": "text", "text": "What is it?"}]},
      {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Rome"}},
        {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Rome"}}]},
      {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "c1", "content": "Rain."},
        {"type": "tool_result", "tool_use_id": "c1", "content": "Sun."}]},
      {"role": "user", "content": "Well?"}],
    "tools": [{"name": "weather", "input_schema": {"type": "object"}}],
    "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
    "stream": true,
    "temperature": 0.5})"));
}

TEST(Request, ToolsOfAnyForm) {
  const Json chat =
      Json::parse(R"([{"type": "function", "function": {"name": "a", "description": "d"}}])");
  const Json read = ReadTools(chat, "tools").value();
  EXPECT_EQ(read[0]["function"]["description"], "d");
  EXPECT_EQ(read[0]["function"]["parameters"]["type"], "object");
  for (const char* wrong :
       {"{}", "[]", "[3]", R"([{"name": ""}])", R"([{"name": "a", "parameters": 3}])"}) {
    EXPECT_FALSE(ReadTools(Json::parse(wrong), "tools")) << wrong;
  }
}

TEST(CallApi, IsGuessedFromTheAddress) {
  EXPECT_EQ(GuessApi("https://api.minimax.io"), Api::kMinimax);
  EXPECT_EQ(GuessApi("https://api.minimaxi.com/v1/text/chatcompletion_v2"), Api::kMinimax);
  EXPECT_EQ(GuessApi("https://api.minimax.io/anthropic"), Api::kAnthropic);
  EXPECT_EQ(GuessApi("https://api.anthropic.com"), Api::kAnthropic);
  EXPECT_EQ(GuessApi("https://api.minimax.io/v1/chat/completions"), Api::kOpenai);
  EXPECT_EQ(GuessApi("http://127.0.0.1:8080"), Api::kOpenai);
}

TEST(CallApi, AddressesAreCompleted) {
  EXPECT_EQ(ChatUrl(Api::kMinimax, "http://h"), "http://h/v1/text/chatcompletion_v2");
  EXPECT_EQ(ChatUrl(Api::kOpenai, "http://h:1/v1"), "http://h:1/v1/chat/completions");
  EXPECT_EQ(ChatUrl(Api::kOpenai, "http://h/a/v1/chat/completions"),
            "http://h/a/v1/chat/completions");
  EXPECT_EQ(ChatUrl(Api::kAnthropic, "http://h/anthropic?x=1"),
            "http://h/anthropic/v1/messages?x=1");
  EXPECT_EQ(ModelsUrl(Api::kAnthropic, "http://h/anthropic/v1/messages"),
            "http://h/anthropic/v1/models");
}

TEST(CallApi, AddressesAreChecked) {
  EXPECT_EQ(CheckUrl("http://127.0.0.1:8080//").value(), "http://127.0.0.1:8080");
  for (const char* wrong : {"", "127.0.0.1:8080", "ftp://h", "http://", "http:///v1",
                            "http://key@h", "http://h/ x", "http://h#x", "http://h\r\nX: y"}) {
    EXPECT_FALSE(CheckUrl(wrong)) << wrong;
  }
  EXPECT_TRUE(IsThisMachine("http://127.0.0.1:8080/v1"));
  EXPECT_TRUE(IsThisMachine("http://[::1]:8080"));
  EXPECT_TRUE(IsThisMachine("http://localhost"));
  EXPECT_FALSE(IsThisMachine("http://127.0.0.1.example.com"));
  EXPECT_FALSE(IsThisMachine("http://192.0.2.1"));
}

TEST(CallApi, TheKeyHasItsHeader) {
  EXPECT_EQ(RequestHeaders(Api::kOpenai, "k").back(), "Authorization: Bearer k");
  EXPECT_EQ(RequestHeaders(Api::kMinimax, "k").back(), "Authorization: Bearer k");
  EXPECT_EQ(RequestHeaders(Api::kAnthropic, "k").back(), "x-api-key: k");
  EXPECT_EQ(RequestHeaders(Api::kOpenai, "").size(), 1U);
}

}  // namespace
}  // namespace fulmen
