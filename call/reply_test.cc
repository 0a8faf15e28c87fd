#include "call/reply.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "call/sse.h"

namespace fulmen {
namespace {

struct Seen {
  std::string text;
  std::string reasoning;
};

ReplyReader ReaderInto(Api api, Seen& seen) {
  return ReplyReader(api, [&seen](bool reasoning, std::string_view text) -> Status {
    (reasoning ? seen.reasoning : seen.text) += text;
    return {};
  });
}

// What comes of a stream in pieces of `size` bytes; what was handed on is what is returned.
CallResult<Reply> ReadStream(Api api, std::string_view stream, size_t size) {
  Seen seen;
  ReplyReader reader = ReaderInto(api, seen);
  SseReader events;
  std::optional<CallError> broken;
  for (size_t at = 0; at < stream.size(); at += size) {
    const Status fed = events.Feed(stream.substr(at, size),
                                   [&](std::string_view, std::string_view data) -> Status {
                                     auto taken = reader.TakeEvent(data);
                                     if (taken) return {};
                                     broken = taken.error();
                                     return tl::unexpected<Error>(broken->error);
                                   });
    if (!fed) return tl::unexpected<CallError>(*broken);
  }
  auto reply = reader.Finish();
  if (reply) {
    EXPECT_EQ(seen.text, reply->text);
    EXPECT_EQ(seen.reasoning, reply->reasoning);
  }
  return reply;
}

CallResult<Reply> ReadWhole(Api api, std::string_view body) {
  Seen seen;
  ReplyReader reader = ReaderInto(api, seen);
  if (auto taken = reader.TakeWhole(body); !taken) {
    return tl::unexpected<CallError>(std::move(taken).error());
  }
  return reader.Finish();
}

// With reasoning, text, one call and usage, whichever API it came through.
void ExpectReply(const CallResult<Reply>& reply, std::string_view text = "Rome, I say.") {
  ASSERT_TRUE(reply) << reply.error().error.message;
  EXPECT_EQ(reply->text, text);
  EXPECT_EQ(reply->reasoning, "Tom... Rome.");
  EXPECT_EQ(reply->model, "MiniMax-M1");
  EXPECT_EQ(reply->end, Reply::End::kCalls);
  ASSERT_EQ(reply->calls.size(), 1U);
  EXPECT_EQ(reply->calls[0].id, "call_1");
  EXPECT_EQ(reply->calls[0].name, "weather");
  EXPECT_EQ(reply->calls[0].arguments, R"({"city":"Rome"})");
  EXPECT_EQ(reply->usage.prompt, 20);
  EXPECT_EQ(reply->usage.cached, 5);
  EXPECT_EQ(reply->usage.output, 9);
  EXPECT_EQ(reply->usage.reasoning, 4);
}

constexpr std::string_view kChatUsage =
    R"("usage":{"total_tokens":29,"total_characters":0,"prompt_tokens":20,"completion_tokens":9,)"
    R"("prompt_tokens_details":{"cached_tokens":5},"completion_tokens_details":{"reasoning_tokens":4}})";

// As the hosted service is documented to answer; written after its documentation, not recorded.
std::string MinimaxMessage() {
  return R"({"content":"Rome, I say.","role":"assistant","name":"MiniMax AI","audio_content":"",)"
         R"("reasoning_content":"Tom... Rome.","tool_calls":[{"id":"call_1","type":"function",)"
         R"("function":{"name":"weather","arguments":"{\"city\":\"Rome\"}"},"index":0}]})";
}

std::string MinimaxWhole() {
  return fmt::format(
      R"({{"id":"0","choices":[{{"finish_reason":"tool_calls","index":0,"message":{}}}],)"
      R"("created":1,"model":"MiniMax-M1","object":"chat.completion",{},"input_sensitive":false,)"
      R"("output_sensitive":false,"base_resp":{{"status_code":0,"status_msg":""}}}})",
      MinimaxMessage(), kChatUsage);
}

std::string ChatChunk(std::string_view delta, std::string_view finish) {
  return fmt::format(
      "data: {{\"model\":\"MiniMax-M1\",\"object\":\"chat.completion.chunk\",\"choices\":"
      "[{{\"index\":0,\"delta\":{},\"finish_reason\":{}}}],\"usage\":null}}\n\n",
      delta, finish);
}

std::string ChatChunks() {
  return ChatChunk(R"({"role":"assistant","content":"","reasoning_content":"Tom... "})", "null") +
         ChatChunk(R"({"reasoning_content":"Rome."})", "null") +
         ChatChunk(R"({"role":"assistant","content":"Rome,"})", "null") +
         ChatChunk(R"({"content":" I say."})", "null") +
         ChatChunk(R"({"tool_calls":[{"index":0,"id":"call_1","type":"function",)"
                   R"("function":{"name":"weather","arguments":""}}]})",
                   "null") +
         ChatChunk(R"({"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]})",
                   "null") +
         ChatChunk(R"({"content":null,"tool_calls":[{"index":0,"function":{"arguments":)"
                   R"("\"Rome\"}"}}]})",
                   "\"tool_calls\"");
}

// The last event has the whole text again.
std::string MinimaxStream() { return ChatChunks() + "data: " + MinimaxWhole() + "\n\n"; }

std::string OpenaiStream() {
  return ChatChunks() +
         fmt::format("data: {{\"model\":\"MiniMax-M1\",\"choices\":[],{}}}\n\ndata: [DONE]\n\n",
                     kChatUsage);
}

std::string AnthropicEvent(std::string_view type, std::string_view rest) {
  return fmt::format("event: {}\ndata: {{\"type\":\"{}\"{}}}\n\n", type, type, rest);
}

std::string AnthropicStream() {
  return AnthropicEvent("message_start",
                        R"(,"message":{"id":"m","model":"MiniMax-M1","content":[],"usage":)"
                        R"({"input_tokens":12,"cache_creation_input_tokens":3,)"
                        R"("cache_read_input_tokens":5,"output_tokens":1}})") +
         AnthropicEvent("ping", "") +
         AnthropicEvent("content_block_start",
                        R"(,"index":0,"content_block":{"type":"thinking","thinking":"",)"
                        R"("signature":""})") +
         AnthropicEvent(
             "content_block_delta",
             R"(,"index":0,"delta":{"type":"thinking_delta","thinking":"Tom... Rome."})") +
         AnthropicEvent("content_block_delta",
                        R"(,"index":0,"delta":{"type":"signature_delta","signature":"abc"})") +
         AnthropicEvent("content_block_stop", R"(,"index":0)") +
         AnthropicEvent("content_block_start",
                        R"(,"index":1,"content_block":{"type":"text","text":""})") +
         AnthropicEvent("content_block_delta",
                        R"(,"index":1,"delta":{"type":"text_delta","text":"Rome, I say."})") +
         AnthropicEvent("content_block_stop", R"(,"index":1)") +
         AnthropicEvent("content_block_start",
                        R"(,"index":2,"content_block":{"type":"tool_use","id":"call_1",)"
                        R"("name":"weather","input":{}})") +
         AnthropicEvent("content_block_delta",
                        R"(,"index":2,"delta":{"type":"input_json_delta","partial_json":)"
                        R"("{\"city\":"})") +
         AnthropicEvent("content_block_delta",
                        R"(,"index":2,"delta":{"type":"input_json_delta","partial_json":)"
                        R"("\"Rome\"}"})") +
         AnthropicEvent("content_block_stop", R"(,"index":2)") +
         AnthropicEvent(
             "message_delta",
             R"(,"delta":{"stop_reason":"tool_use","stop_sequence":null},)"
             R"("usage":{"output_tokens":9,"output_tokens_details":{"thinking_tokens":4}})") +
         AnthropicEvent("message_stop", "");
}

TEST(Reply, StreamsAreReadInPiecesOfAnySize) {
  for (size_t size = 1; size < 300; size += size < 20 ? 1 : 37) {
    SCOPED_TRACE(size);
    ExpectReply(ReadStream(Api::kMinimax, MinimaxStream(), size));
    ExpectReply(ReadStream(Api::kOpenai, OpenaiStream(), size));
    ExpectReply(ReadStream(Api::kAnthropic, AnthropicStream(), size));
  }
}

TEST(Reply, WholeAnswersAreTheSame) {
  ExpectReply(ReadWhole(Api::kMinimax, MinimaxWhole()));
  ExpectReply(ReadWhole(Api::kOpenai, MinimaxWhole()));
  ExpectReply(ReadWhole(
      Api::kAnthropic,
      R"({"type":"message","model":"MiniMax-M1","content":[{"type":"thinking",)"
      R"("thinking":"Tom... Rome.","signature":"abc"},{"type":"text","text":"Rome, I say."},)"
      R"({"type":"tool_use","id":"call_1","name":"weather","input":{"city":"Rome"}}],)"
      R"("stop_reason":"tool_use","usage":{"input_tokens":12,"cache_creation_input_tokens":3,)"
      R"("cache_read_input_tokens":5,"output_tokens":9,"output_tokens_details":)"
      R"({"thinking_tokens":4}}})"));
}

TEST(Reply, TheLastEventAloneIsAnAnswer) {
  ExpectReply(ReadStream(Api::kMinimax, "data: " + MinimaxWhole() + "\n\n", 64));
}

TEST(Reply, ThoughtsInTheTextAreTakenOut) {
  const std::string chunks = ChatChunk(R"({"content":"\n<thi"})", "null") +
                             ChatChunk(R"({"content":"nk>Tom lives </"})", "null") +
                             ChatChunk(R"({"content":"i> there</think>\n"})", "null") +
                             ChatChunk(R"({"content":"\nRome <think>."})", "\"stop\"");
  const auto reply = ReadStream(Api::kOpenai, chunks, 1000);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->reasoning, "Tom lives </i> there");
  EXPECT_EQ(reply->text, "Rome <think>.");
}

TEST(Reply, EndsHaveManyNames) {
  const auto end = [](Api api, std::string_view word) {
    const std::string body =
        api == Api::kAnthropic
            ? fmt::format(R"({{"content":[],"stop_reason":"{}"}})", word)
            : fmt::format(R"({{"choices":[{{"message":{{"content":"a"}},"finish_reason":"{}"}}]}})",
                          word);
    return ReadWhole(api, body)->end;
  };
  EXPECT_EQ(end(Api::kMinimax, "stop"), Reply::End::kStop);
  EXPECT_EQ(end(Api::kOpenai, "length"), Reply::End::kLength);
  EXPECT_EQ(end(Api::kAnthropic, "max_tokens"), Reply::End::kLength);
  EXPECT_EQ(end(Api::kAnthropic, "stop_sequence"), Reply::End::kStop);
  EXPECT_EQ(end(Api::kOpenai, "content_filter"), Reply::End::kOther);
}

TEST(Reply, CostIsTheServersOwn) {
  const auto usage_with = [](const std::string& cost) {
    const std::string body =
        R"({"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{)"
        R"("prompt_tokens":1,"completion_tokens":2,"currency":"CNY","cost":)" +
        cost + "}}";
    return ReadWhole(Api::kOpenai, body).value().usage;
  };
  for (const std::string cost : {"0.25", R"("0.25")"}) {
    EXPECT_EQ(usage_with(cost).cost, 0.25);
    EXPECT_EQ(usage_with(cost).currency, "CNY");
  }
  for (const std::string cost : {"null", R"("much")", R"("-1")", "true"}) {
    EXPECT_EQ(usage_with(cost).cost, std::nullopt) << cost;
  }
}

TEST(Reply, WhatIsNoAnswerIsAnError) {
  for (const std::string_view body :
       {"", "{", "[]", "null", R"({"choices":null})", R"({"choices":[]})",
        R"({"choices":[{"message":{"content":"cut"}}]})"}) {
    EXPECT_FALSE(ReadWhole(Api::kMinimax, body)) << body;
    EXPECT_FALSE(ReadWhole(Api::kAnthropic, body)) << body;
  }
  const std::string many =
      ChatChunk(R"({"tool_calls":[{"index":0,"id":"a"},{"index":4000000}]})", "\"tool_calls\"");
  EXPECT_LE(ReadStream(Api::kOpenai, many, 64)->calls.size(), ReplyReader::kMostCalls);
}

// A stream that is cut off may be asked for again, if nobody has seen any of it.
TEST(Reply, ACutStreamIsTold) {
  const auto reply = ReadStream(Api::kOpenai, ChatChunk(R"({"content":"Ro"})", "null"), 64);
  ASSERT_FALSE(reply);
  EXPECT_TRUE(reply.error().transient);
  EXPECT_NE(reply.error().error.message.find("no finish reason"), std::string::npos);
}

// As documented: status 200, and the error inside.
TEST(Reply, ErrorsInsideAnAnswer) {
  struct Case {
    int code;
    CallError::Kind kind;
    bool transient;
  };
  for (const auto& [code, kind, transient] :
       std::vector<Case>{{1004, CallError::Kind::kKey, false},
                         {2049, CallError::Kind::kKey, false},
                         {1008, CallError::Kind::kLimit, false},
                         {2056, CallError::Kind::kLimit, false},
                         {1002, CallError::Kind::kLimit, true},
                         {1039, CallError::Kind::kLimit, true},
                         {1041, CallError::Kind::kLimit, true},
                         {1001, CallError::Kind::kFailed, true},
                         {1013, CallError::Kind::kFailed, true},
                         {2013, CallError::Kind::kFailed, false},
                         {1026, CallError::Kind::kFailed, false}}) {
    for (const std::string_view rest : {"", R"("choices":null,"usage":{"total_tokens":0},)"}) {
      const std::string body = fmt::format(
          R"({{{}"base_resp":{{"status_code":{},"status_msg":"not today"}}}})", rest, code);
      SCOPED_TRACE(body);
      for (const auto& reply : {ReadWhole(Api::kMinimax, body), ReadWhole(Api::kAnthropic, body),
                                ReadStream(Api::kMinimax, "data: " + body + "\n\n", 64)}) {
        ASSERT_FALSE(reply);
        EXPECT_EQ(reply.error().kind, kind);
        EXPECT_EQ(reply.error().transient, transient);
        EXPECT_NE(reply.error().error.message.find("not today"), std::string::npos);
      }
    }
  }
  const auto overloaded = ReadStream(
      Api::kAnthropic,
      AnthropicEvent("error", R"(,"error":{"type":"overloaded_error","message":"Overloaded"})"), 9);
  ASSERT_FALSE(overloaded);
  EXPECT_TRUE(overloaded.error().transient);
}

}  // namespace
}  // namespace fulmen
