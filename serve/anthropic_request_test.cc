#include "serve/anthropic_request.h"

#include <gtest/gtest.h>

#include "serve/anthropic_messages.h"
#include "serve/testing/answer_events.h"

namespace fulmen {
namespace {

using testing::ErrorOf;
using testing::kHandle;
using testing::MustParse;
using testing::PromptOf;

Json MessagesBody(const std::string& messages, const std::string& more = "") {
  return MustParse(R"({"model":"m","max_tokens":9,"messages":[)" + messages + "]" + more + "}");
}

ChatPrompt AnthropicPrompt(const Json& body) { return PromptOf(ReadAnthropicRequest(body)); }

std::string AnthropicMessages(const std::string& messages, const std::string& more = "") {
  return AnthropicPrompt(MessagesBody(messages, more)).messages.dump();
}

std::string AnthropicErrorOfBody(const Json& body) { return ErrorOf(ParseAnthropicMessages(body)); }

std::string AnthropicError(const std::string& messages, const std::string& more = "") {
  return AnthropicErrorOfBody(MessagesBody(messages, more));
}

const std::string kHi = R"({"role":"user","content":"hi"})";

TEST(AnthropicRequest, FieldsOfTheAnswer) {
  const auto request = ReadAnthropicRequest(MessagesBody(
      kHi, R"(,"stream":true,"temperature":0.5,"top_p":0.9,"top_k":7,"stop_sequences":["a"],
           "thinking":{"type":"enabled","budget_tokens":2000},"metadata":{"user_id":"u"},
           "service_tier":"auto","cache_control":{"type":"ephemeral"},"mcp_servers":[],
           "output_config":{"effort":"max"},"context_management":{},"speed":"fast")"));
  ASSERT_TRUE(request) << request.error().message;
  const Generation& generation = request->generation;
  EXPECT_TRUE(request->stream);
  EXPECT_EQ(generation.model, "m");
  EXPECT_EQ(generation.max_tokens, 9);
  EXPECT_TRUE(generation.max_tokens_must_fit);
  EXPECT_EQ(generation.sampling.temperature, 0.5);
  EXPECT_EQ(generation.sampling.top_p, 0.9);
  EXPECT_EQ(generation.sampling.top_k, 7);
  EXPECT_EQ(generation.stop, std::vector<std::string>{"a"});
}

TEST(AnthropicRequest, CountsNeedNoMaxTokens) {
  const auto count = ParseAnthropicCount(MustParse(R"({"model":"m","messages":[)" + kHi + "]}"));
  ASSERT_TRUE(count);
  EXPECT_EQ(count->max_tokens, 0);
  EXPECT_FALSE(count->max_tokens_must_fit);
  EXPECT_EQ(AnthropicErrorOfBody(MustParse(R"({"model":"m","messages":[)" + kHi + "]}")),
            "max_tokens: expected a whole number, found nothing");
}

TEST(AnthropicRequest, SystemTexts) {
  EXPECT_EQ(AnthropicMessages(kHi, R"(,"system":"S")"),
            R"([{"role":"system","content":"S"},{"role":"user","content":"hi"}])");
  EXPECT_EQ(AnthropicMessages(kHi, R"(,"system":[
      {"type":"text","text":"x-anthropic-billing-header: cc_version=1; cch=abc;"},
      {"type":"text","text":"A","cache_control":{"type":"ephemeral"}},{"type":"text","text":"B"}])"),
            R"([{"role":"system","content":"A\nB"},{"role":"user","content":"hi"}])");
  EXPECT_EQ(AnthropicMessages(kHi + R"(,{"role":"system","content":[{"type":"text","text":"S"}]})"),
            R"([{"role":"user","content":"hi"},{"role":"system","content":"S"}])");
}

TEST(AnthropicRequest, TurnsOfOneRoleBecomeOne) {
  EXPECT_EQ(AnthropicMessages(kHi + R"(,{"role":"ctx","content":[{"type":"text","text":"you"}]},
      {"role":"assistant","content":"a"},{"role":"assistant","content":"b"})" +
                              "," + kHi),
            R"([{"role":"user","content":"hi\nyou"},{"role":"assistant","content":"ab"},)"
            R"({"role":"user","content":"hi"}])");
}

TEST(AnthropicRequest, ATurnAtTheEndIsGoneOnWith) {
  const ChatPrompt prompt =
      AnthropicPrompt(MessagesBody(kHi + R"(,{"role":"assistant","content":"The"})"));
  EXPECT_TRUE(prompt.continue_final);
  EXPECT_FALSE(prompt.add_generation_prompt);
  const ChatPrompt other = AnthropicPrompt(MessagesBody(kHi));
  EXPECT_FALSE(other.continue_final);
  EXPECT_TRUE(other.add_generation_prompt);
  EXPECT_EQ(
      AnthropicError(kHi +
                     R"(,{"role":"assistant","content":[{"type":"thinking","thinking":"x"}]})"),
      "messages[1].content: expected text at the end of a turn to go on with, found thinking");
}

TEST(AnthropicRequest, CallsAndTheirResults) {
  const std::string id = std::string("toolu_") + kHandle + "_0";
  const std::string turn =
      R"({"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":")" +
      std::string(R"("},{"type":"redacted_thinking","data":"x"},{"type":"text","text":"T"},)") +
      R"({"type":"tool_use","id":")" + id + R"(","name":"f","input":{"a":1}},)" +
      R"({"type":"tool_use","id":"b","name":"g","input":{}}]})";
  const std::string results =
      R"({"role":"user","content":[{"type":"tool_result","tool_use_id":")" + id +
      R"(","content":[{"type":"text","text":"1"},{"type":"text","text":"2"}]},)" +
      R"({"type":"tool_result","tool_use_id":"b","content":"no","is_error":true},)" +
      R"({"type":"text","text":"go on"}]})";
  EXPECT_EQ(
      AnthropicMessages(kHi + "," + turn + "," + results),
      R"([{"role":"user","content":"hi"},{"role":"assistant","content":"T","reasoning_content":"hm",)"
      R"("tool_calls":[{"id":")" +
          id +
          R"(","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},)"
          R"({"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}],"handle":")" +
          kHandle + R"("},{"role":"tool","tool_call_id":")" + id +
          R"(","content":"1\n2"},{"role":"tool","tool_call_id":"b","content":"Error: no"},)"
          R"({"role":"user","content":"go on"}])");
  const std::string text = R"({"role":"user","content":"and?"})";
  EXPECT_EQ(AnthropicError(kHi + "," + turn + "," + text),
            "messages[2].content: expected a tool_result for each tool_use at the beginning of the "
            "next turn, found none for \"b\"");
  EXPECT_NE(AnthropicError(kHi + "," + turn), "none");
  EXPECT_EQ(
      AnthropicError(R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"z"}]})"),
      "messages[0].content[0].tool_use_id: expected the id of a tool_use of the turn before, "
      "found \"z\"");
  EXPECT_NE(AnthropicError(kHi + "," + turn + "," + results + "," + results), "none");
}

TEST(AnthropicRequest, HandlesComeBack) {
  const auto handle = [](const std::string& blocks) {
    const Json messages = MustParse(
        AnthropicMessages(kHi + R"(,{"role":"assistant","content":[)" + blocks + "]}," + kHi));
    return messages[1].value("handle", "");
  };
  const std::string other = "turn_0000000000000000000000";
  const auto thinking = [](const std::string& signature) {
    return R"({"type":"thinking","thinking":"","signature":")" + signature + "\"}";
  };
  EXPECT_EQ(handle(thinking(kHandle)), kHandle);
  EXPECT_EQ(handle(thinking("EqQBCgIYAhIM")), "");
  EXPECT_EQ(handle(thinking(std::string(kHandle) + "x")), "");
  EXPECT_EQ(handle(thinking(kHandle) + "," + thinking(kHandle)), kHandle);
  EXPECT_EQ(handle(thinking(kHandle) + "," + thinking(other)), "");
}

TEST(AnthropicRequest, Tools) {
  const std::string tools = R"(,"tools":[
      {"name":"f","description":"d","input_schema":{"type":"object"},"cache_control":{}},
      {"type":"custom","name":"g","input_schema":{},"defer_loading":true,"input_examples":[]}])";
  const std::string f =
      R"({"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}})";
  const std::string g = R"({"type":"function","function":{"name":"g","parameters":{}}})";
  const auto shown = [&](const std::string& messages, const std::string& more) {
    return AnthropicPrompt(MessagesBody(messages, more)).tools.dump();
  };
  EXPECT_EQ(shown(kHi, tools), "[" + f + "]");
  EXPECT_EQ(shown(kHi, tools + R"(,"tool_choice":{"type":"none"})"), "null");
  EXPECT_EQ(shown(kHi, ""), "null");
  const std::string add =
      R"({"role":"system","content":[{"type":"tool_addition","tool":{"type":"tool_reference","name":"g"}}]})";
  const std::string remove =
      R"({"role":"user","content":[{"type":"tool_removal","tool":{"type":"tool_reference","name":"f"}}]})";
  EXPECT_EQ(shown(kHi + "," + add, tools), "[" + f + "," + g + "]");
  EXPECT_EQ(shown(kHi + "," + add + "," + remove, tools), "[" + g + "]");
  const std::string found =
      R"({"role":"assistant","content":[{"type":"tool_use","id":"1","name":"search","input":{}}]},
      {"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[
      {"type":"tool_reference","tool_name":"g"}]}]})";
  EXPECT_EQ(shown(kHi + "," + found, tools), "[" + f + "," + g + "]");
  const std::string define =
      R"({"role":"system","content":[{"type":"tool_addition","tool":{"type":"tool_definition",
      "definition":{"name":"g","input_schema":{}}}}]})";
  EXPECT_EQ(shown(kHi + "," + define, ""), "[" + g + "]");
  EXPECT_EQ(AnthropicError(kHi + "," + add),
            "messages[1].content[0].tool.name: expected the name of a tool, found \"g\"");
  EXPECT_EQ(AnthropicError(kHi, R"(,"tools":[{"type":"web_search_20250305","name":"web_search"}])"),
            "tools[0].type: the tool web_search of type web_search_20250305 runs on Anthropic's "
            "servers, or needs a model that was trained for it (unsupported)");
}

TEST(AnthropicRequest, Images) {
  const std::string data =
      R"({"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}})";
  const std::string url = R"({"type":"image","source":{"type":"url","url":"https://x/y.png"}})";
  EXPECT_EQ(AnthropicMessages(R"({"role":"user","content":[)" + data +
                              R"(,{"type":"text","text":"a"},)" + url + "]}"),
            R"([{"role":"user","content":[{"type":"image_url","path":"messages[0].content[0]",)"
            R"("image_url":{"url":"data:image/png;base64,AA=="}},{"type":"text","text":"a"},)"
            R"({"type":"image_url","path":"messages[0].content[2]",)"
            R"("image_url":{"url":"https://x/y.png"}}]}])");
  // Of a result: in the user's text behind it.
  const Json messages =
      AnthropicPrompt(
          MessagesBody(
              R"({"role":"user","content":"u"},)"
              R"({"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{}}]},)"
              R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[)"
              R"({"type":"text","text":"r"},)" +
              url + R"(]},{"type":"text","text":"v"}]})"))
          .messages;
  EXPECT_EQ(messages[2]["content"], "r");
  EXPECT_EQ(messages[3]["content"].size(), 2U);
  EXPECT_EQ(messages[3]["content"][1]["text"], "v");
  EXPECT_EQ(
      AnthropicError(R"({"role":"user","content":[{"type":"image","source":{"type":"file"}}]})"),
      "messages[0].content[0].source.type: images come in the request (base64) or from a URL "
      "(url), found \"file\" (unsupported)");
}

TEST(AnthropicRequest, RefusesByName) {
  EXPECT_EQ(AnthropicError(
                R"({"role":"user","content":[{"type":"text","text":"a"},{"type":"document"}]})"),
            "messages[0].content[1]: blocks of type document are not supported (unsupported)");
  EXPECT_EQ(AnthropicError(R"({"role":"user","content":[{"type":"document"}]})"),
            "messages[0].content[0]: blocks of type document are not supported (unsupported)");
}

// The SDK's tool runner sends everything once it reads this, and threads otherwise.
TEST(AnthropicRequest, RefusesThreadsInWordsThatTheSdkReads) {
  for (const char* thread :
       {R"({"type":"create"})", R"({"type":"continue","previous_message_id":"msg_1"})"}) {
    const auto call =
        ParseAnthropicMessages(MessagesBody(kHi, std::string(R"(,"thread":)") + thread));
    ASSERT_FALSE(call);
    EXPECT_EQ(HttpStatusOf(ApiStyle::kAnthropic, call.error()), 400);
    const Json body = ErrorBody(ApiStyle::kAnthropic, call.error(), "req_1");
    EXPECT_EQ(body["error"]["details"]["error_code"], "thread_unsupported_request");
    EXPECT_EQ(body["error"]["details"]["unsupported"], Json::array({"thread"}));
  }
  EXPECT_TRUE(ParseAnthropicMessages(MessagesBody(kHi, R"(,"thread":null)")));
}

TEST(AnthropicRequest, SaysWhatIsWrong) {
  EXPECT_EQ(AnthropicErrorOfBody(Json(3)), ": expected an object, found 3");
  EXPECT_EQ(AnthropicErrorOfBody(MustParse("{}")), "model: expected a string, found nothing");
  EXPECT_EQ(AnthropicError(""), "messages: expected from 1 to 100000 messages, found 0");
  EXPECT_EQ(AnthropicError("3"), "messages[0]: expected an object, found 3");
  EXPECT_EQ(AnthropicError(R"({"role":"tool","content":"x"})"),
            "messages[0].role: expected user, assistant or system, found \"tool\"");
  EXPECT_EQ(AnthropicError(R"({"role":"user"})"),
            "messages[0].content: expected a string or a list of blocks, found nothing");
  EXPECT_EQ(AnthropicError(R"({"role":"user","content":[{"type":"tool_use"}]})"),
            "messages[0].content[0].type: expected text, image, tool_result, tool_addition or "
            "tool_removal, found \"tool_use\"");
  EXPECT_EQ(AnthropicError(kHi, R"(,"temperature":1.5)"),
            "temperature: expected a number from 0 to 1, found 1.5");
  EXPECT_EQ(AnthropicError(kHi, R"(,"thinking":{"type":"on"})"),
            "thinking.type: expected enabled, disabled, adaptive or between_tools, found \"on\"");
  EXPECT_EQ(AnthropicError(kHi, R"(,"stop_sequences":[""])"),
            "stop_sequences: expected a string or a list of up to 64, none of them empty, found "
            "[\"\"]");
}

// Bodies that are nearly right, at random: each is read or refused with a sentence.
TEST(AnthropicRequest, NothingCrashesIt) {
  const std::string body =
      MessagesBody(
          kHi + R"(,{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f"}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"1"}]})",
          R"(,"tools":[{"name":"f","input_schema":{}}],"system":[{"type":"text","text":"s"}])")
          .dump();
  RandomStream random(3);
  int read = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string spoilt = body;
    const std::vector<std::string> values = {"null", "[]", "{}", "0", "\"x\"", "true", "[[]]"};
    const size_t at = random.Next() % spoilt.size();
    spoilt.replace(at, random.Next() % 12, values[random.Next() % values.size()]);
    const auto json = ParseJson(spoilt, "test");
    if (!json) continue;
    ++read;
    const auto call = ParseAnthropicMessages(*json);
    EXPECT_TRUE(call || !call.error().message.empty());
  }
  EXPECT_GT(read, 100);
}

}  // namespace
}  // namespace fulmen
