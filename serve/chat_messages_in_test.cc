#include "serve/chat_messages_in.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "serve/testing/random_answer.h"
#include "serve/turn_ids.h"
#include "tokenizer/chat.h"

namespace fulmen {
namespace {

ApiResult<Json> Read(const std::string& messages, const MessageRules& rules = {}) {
  Json body = {{"messages", Json::parse(messages)}};
  return ReadMessages(body, rules);
}

std::string Shape(const std::string& messages, const MessageRules& rules = {}) {
  const auto read = Read(messages, rules);
  return read ? read->dump() : read.error().param + ": " + read.error().message;
}

TEST(ChatMessagesIn, RolesAndContentTakeOneShape) {
  EXPECT_EQ(Shape(R"([{"role":"system","content":"a"},{"role":"developer","content":"b"},
                      {"role":"user","name":"n","content":[{"type":"text","text":"c"},
                                                           {"type":"text","text":"d"}]},
                      {"role":"assistant","content":[{"type":"text","text":"e"},
                                                     {"type":"refusal","refusal":"f"}]},
                      {"role":"assistant","content":null,"refusal":"no"},
                      {"role":"assistant"}])"),
            R"([{"role":"system","content":"a"},{"role":"system","content":"b"},)"
            R"({"role":"user","content":"c\nd"},{"role":"assistant","content":"ef"},)"
            R"({"role":"assistant","content":"no"},{"role":"assistant","content":""}])");
}

// They stand among texts as they came; those of results behind these.
TEST(ChatMessagesIn, Images) {
  const std::string image = R"({"type":"image_url","image_url":{"url":"data:x"}})";
  const auto out = [](const std::string& path) {
    return R"({"type":"image_url","path":")" + path + R"(","image_url":{"url":"data:x"}})";
  };
  EXPECT_EQ(
      Shape(R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"},)" +
            image + R"(,{"type":"text","text":"c"},{"type":"image_url","image_url":"data:x"}]}])"),
      R"([{"role":"user","content":[{"type":"text","text":"a\nb"},)" +
          out("messages[0].content[2]") + R"(,{"type":"text","text":"c"},)" +
          out("messages[0].content[4]") + "]}]");
  const std::string call =
      R"({"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},)"
      R"({"role":"tool","tool_call_id":"1","content":[)" +
      image + R"(,{"type":"text","text":"r"}]})";
  const auto contents = [](const std::string& messages) {
    std::string all;
    const Json read = *Read(messages);
    for (const Json& message : read) all += message["content"].dump() + " ";
    return all;
  };
  const std::string shown = out("messages[1].content[0]");
  EXPECT_EQ(contents("[" + call + "]"), "null \"r\" [" + shown + "] ");
  EXPECT_EQ(contents("[" + call + R"(,{"role":"user","content":"u"}])"),
            "null \"r\" [" + shown + R"(,{"type":"text","text":"u"}] )");
  EXPECT_EQ(contents("[" + call + R"(,{"role":"assistant","content":"s"}])"),
            "null \"r\" [" + shown + "] \"s\" ");
}

TEST(ChatMessagesIn, CallsAndTheirResults) {
  EXPECT_EQ(Shape(R"([{"role":"assistant","content":null,"tool_calls":[
                  {"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":1,\"a\":2}"}},
                  {"id":"2","function":{"name":"g","arguments":" "}}]},
                {"role":"tool","tool_call_id":"2","content":[{"type":"text","text":"r"}]},
                {"role":"assistant","content":"x","function_call":{"name":"h","arguments":{}}},
                {"role":"function","name":"h","content":"s"}])"),
            R"([{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":)"
            R"({"name":"f","arguments":{"a":2}}},{"id":"2","type":"function","function":)"
            R"({"name":"g","arguments":{}}}],"content":null},)"
            R"({"role":"tool","tool_call_id":"2","content":"r"},)"
            R"({"role":"assistant","tool_calls":[{"type":"function","function":)"
            R"({"name":"h","arguments":{}}}],"content":"x"},)"
            R"({"role":"tool","name":"h","content":"s"}])");
}

TEST(ChatMessagesIn, ResultsAnswerCallsInOrderWhereTheyNeedNotSay) {
  const std::string messages =
      R"([{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{}"}},
                                            {"function":{"name":"g","arguments":"{}"}}]},
          {"role":"tool","content":"1"},{"role":"tool","content":"2"}])";
  const auto read = Read(messages, {.needs_tool_call_id = false});
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ((*read)[1]["name"], "f");
  EXPECT_EQ((*read)[2]["name"], "g");
  EXPECT_EQ(Read(messages).error().param, "messages[0].tool_calls[0].id");
  EXPECT_EQ(Read(R"([{"role":"tool","content":"1"}])", {.needs_tool_call_id = false}).error().param,
            "messages[0].tool_call_id");
}

TEST(ChatMessagesIn, ThoughtsHaveManyNames) {
  for (const char* message :
       {R"("content":"b","reasoning_content":"a")", R"("content":"b","reasoning":"a")",
        R"("content":"b","reasoning_text":"a","reasoning_content":"")",
        R"("content":"b","reasoning_details":[{"type":"reasoning.text","text":"a"},{"data":"x"}])",
        R"("content":" <think>\na\n</think>\n\nb")",
        R"("content":[{"type":"text","text":"<think>a</think>b"}])"}) {
    EXPECT_EQ(Shape(std::string(R"([{"role":"assistant",)") + message + "}]"),
              R"([{"role":"assistant","reasoning_content":"a","content":"b"}])")
        << message;
  }
  EXPECT_EQ(Shape(R"([{"role":"assistant","content":"x<think>a</think>"},
                      {"role":"assistant","content":"<think>a"},
                      {"role":"user","content":"<think>a</think>b"}])"),
            R"([{"role":"assistant","content":"x<think>a</think>"},)"
            R"({"role":"assistant","content":"<think>a"},)"
            R"({"role":"user","content":"<think>a</think>b"}])");
  EXPECT_EQ(Shape(R"([{"role":"assistant","content":"<think>a</think>"}])"),
            R"([{"role":"assistant","reasoning_content":"a","content":""}])");
}

TEST(ChatMessagesIn, IdsOfCallsLeadBackToTheirTurn) {
  const auto read_with = [](const std::string& first, const std::string& second) {
    Json calls = Json::array();
    for (const std::string& id : {first, second}) {
      calls.push_back({{"id", id}, {"function", {{"name", "f"}, {"arguments", "{}"}}}});
    }
    Json body = {{"messages", {{{"role", "assistant"}, {"tool_calls", calls}}}}};
    return ReadMessages(body, {}).value()[0].value("handle", "");
  };
  const std::string turn = testing::HandleOf(7);
  const std::string other = testing::HandleOf(8);
  EXPECT_EQ(read_with(TurnItemId("call_", turn, 0), TurnItemId("call_", turn, 12)), turn);
  EXPECT_EQ(read_with(TurnItemId("call_function_", turn, 0), "x"), turn);
  EXPECT_EQ(read_with(TurnItemId("call_", turn, 0), TurnItemId("call_", other, 1)), "");
  EXPECT_EQ(read_with("call_abc", "call_turn_short_0"), "");
}

struct WrongMessage {
  std::string messages;
  ApiErrorKind kind;
  std::string param;
};

TEST(ChatMessagesIn, ErrorsNameTheField) {
  constexpr ApiErrorKind kInvalid = ApiErrorKind::kInvalid;
  constexpr ApiErrorKind kUnsupported = ApiErrorKind::kUnsupported;
  const std::vector<WrongMessage> cases = {
      {"[]", kInvalid, "messages"},
      {"{}", kInvalid, "messages"},
      {"[3]", kInvalid, "messages[0]"},
      {R"([{"content":"x"}])", kInvalid, "messages[0].role"},
      {R"([{"role":"robot","content":"x"}])", kInvalid, "messages[0].role"},
      {R"([{"role":"user"}])", kInvalid, "messages[0].content"},
      {R"([{"role":"system","name":"n"}])", kInvalid, "messages[0].content"},
      {R"([{"role":"user","content":[]}])", kInvalid, "messages[0].content"},
      {R"([{"role":"user","content":7}])", kInvalid, "messages[0].content"},
      {R"([{"role":"user","content":"x","name":7}])", kInvalid, "messages[0].name"},
      {R"([{"role":"user","content":["x"]}])", kInvalid, "messages[0].content[0]"},
      {R"([{"role":"user","content":[{"text":"x"}]}])", kInvalid, "messages[0].content[0].type"},
      {R"([{"role":"user","content":[{"type":"text"}]}])", kInvalid, "messages[0].content[0].text"},
      {R"([{"role":"user","content":[{"type":"smell"}]}])", kInvalid,
       "messages[0].content[0].type"},
      {R"([{"role":"user","content":[{"type":"text","text":"x"},{"type":"input_audio"}]}])",
       kUnsupported, "messages[0].content[1].type"},
      {R"([{"role":"user","content":[{"type":"image_url"}]}])", kInvalid,
       "messages[0].content[0].image_url"},
      {R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":7}}]}])", kInvalid,
       "messages[0].content[0].image_url.url"},
      {R"([{"role":"assistant","content":[{"type":"image_url","image_url":"x"}]}])", kInvalid,
       "messages[0].content"},
      {R"([{"role":"assistant","audio":{"id":"a"}}])", kUnsupported, "messages[0].audio"},
      {R"([{"role":"assistant","reasoning":7}])", kInvalid, "messages[0].reasoning"},
      {R"([{"role":"assistant","tool_calls":[{"id":"1","type":"custom"}]}])", kUnsupported,
       "messages[0].tool_calls[0].type"},
      {R"([{"role":"assistant","tool_calls":[{"id":"1"}]}])", kInvalid,
       "messages[0].tool_calls[0].function"},
      {R"([{"role":"assistant","tool_calls":[{"id":"1","function":{"name":""}}]}])", kInvalid,
       "messages[0].tool_calls[0].function.name"},
      {R"([{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f"}}]}])", kInvalid,
       "messages[0].tool_calls[0].function.arguments"},
      {R"([{"role":"assistant","tool_calls":[{"id":"1","function":
            {"name":"f","arguments":"{\"a\":"}}]}])",
       kInvalid, "messages[0].tool_calls[0].function.arguments"},
      {R"([{"role":"tool","content":"x"}])", kInvalid, "messages[0].tool_call_id"},
      {R"([{"role":"tool","content":"x","tool_call_id":"9"}])", kInvalid,
       "messages[0].tool_call_id"},
      {R"([{"role":"function","content":"x"}])", kInvalid, "messages[0].name"},
  };
  for (const WrongMessage& wrong : cases) {
    const auto read = Read(wrong.messages, {.model = "nano"});
    ASSERT_FALSE(read) << wrong.messages;
    EXPECT_EQ(read.error().kind, wrong.kind) << wrong.messages;
    EXPECT_EQ(read.error().param, wrong.param) << wrong.messages;
  }
  EXPECT_EQ(
      Shape(R"([{"role":"user","content":[{"type":"file"}]}])", {.model = "nano"}),
      "messages[0].content[0].type: the model nano reads text and parts of the type image_url, "
      "found one of the type file");
}

// Whatever comes through can be rendered by every format.
TEST(ChatMessagesIn, WhatComesThroughCanBeRendered) {
  constexpr const char* kMessages[] = {
      R"({"role":"system","content":"s"})",
      R"({"role":"user","content":[{"type":"text","text":"u"},{"type":"text","text":""}]})",
      R"({"role":"assistant","content":"","reasoning":"r"})",
      R"({"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}]})",
      R"({"role":"assistant","content":null})",
      R"({"role":"tool","tool_call_id":"1","content":"x"})",
      R"({"role":"function","name":"f","content":"x"})",
  };
  RandomStream random(3);
  int rendered = 0;
  for (int round = 0; round < 500; ++round) {
    std::string list = kMessages[0];
    for (uint64_t n = random.Next() % 6; n > 0; --n) {
      list += std::string(",") + kMessages[random.Next() % std::size(kMessages)];
    }
    const auto read = Read("[" + list + "]");
    if (!read) continue;  // a result before its call
    for (const ChatFormat format :
         {ChatFormat::kText01, ChatFormat::kVl01, ChatFormat::kM1, ChatFormat::kM1LlamaCpp}) {
      const auto pieces = FormatChat(format, {{"messages", *read}});
      EXPECT_TRUE(pieces) << pieces.error().message << list;
    }
    ++rendered;
  }
  EXPECT_GT(rendered, 100);
}

TEST(ChatMessagesIn, ToolsOfOneShape) {
  StrictTools strict;
  Json body = Json::parse(R"({"tools":[{"type":"function","function":{"name":"f-_9"}}]})");
  EXPECT_EQ(ReadTools(body, {}, strict).value().dump(),
            R"([{"type":"function","function":{"name":"f-_9"}}])");
  body = Json::parse(R"({"tools":[{"type":"function","function":{"name":"f"}}]})");
  EXPECT_EQ(ReadTools(body, {.needs_description = true}, strict).error().param,
            "tools[0].function.description");
  body = {{"tools", {{{"type", "function"}, {"function", {{"name", std::string(65, 'x')}}}}}}};
  EXPECT_EQ(ReadTools(body, {}, strict).error().param, "tools[0].function.name");
  body = Json::object();
  EXPECT_TRUE(ReadTools(body, {}, strict).value().is_null());
}

}  // namespace
}  // namespace fulmen
