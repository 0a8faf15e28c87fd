#include "serve/responses_request.h"

#include <gtest/gtest.h>

#include "serve/testing/answer_events.h"

namespace fulmen {
namespace {

using testing::ErrorOf;
using testing::kHandle;
using testing::MustParse;
using testing::PromptOf;

ChatPrompt ResponsesPrompt(const Json& body, const ReferredItems& referred = {}) {
  return PromptOf(ReadResponsesRequest(body, referred));
}

std::string ResponsesMessages(const std::string& input, const std::string& more = "") {
  return ResponsesPrompt(MustParse(R"({"model":"m","input":)" + input + more + "}"))
      .messages.dump();
}

std::string ResponsesError(const std::string& body) {
  return ErrorOf(ParseOpenAiResponses(MustParse(body)));
}

std::string ResponsesErrorWith(const std::string& more) {
  return ResponsesError(R"({"model":"m","input":"hi",)" + more + "}");
}

TEST(ResponsesRequest, FieldsOfTheAnswer) {
  const auto request = ReadResponsesRequest(
      MustParse(R"({"model":"m","input":"hi","max_output_tokens":1,"temperature":1.5,"top_p":0.5,
          "stream":true,"store":false,"parallel_tool_calls":false,"top_logprobs":3,
          "include":["reasoning.encrypted_content","file_search_call.results"],
          "truncation":"disabled","prompt_cache_key":"k","client_metadata":{},"user":"u",
          "reasoning":{"effort":"high","summary":"auto"},"service_tier":"auto",
          "text":{"format":{"type":"text"},"verbosity":"low"},"background":false})"),
      {});
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->generation.max_tokens, 1);
  EXPECT_EQ(request->generation.sampling.temperature, 1.5);
  EXPECT_EQ(request->generation.top_logprobs, 3);
  EXPECT_TRUE(request->stream);
  EXPECT_FALSE(request->store);
  EXPECT_TRUE(request->one_call);
  EXPECT_TRUE(request->encrypts_reasoning);
  const auto plain = ReadResponsesRequest(MustParse(R"({"input":"hi"})"), {});
  ASSERT_TRUE(plain);
  EXPECT_TRUE(plain->store);
  EXPECT_EQ(plain->generation.max_tokens, std::nullopt);
  EXPECT_EQ(plain->generation.top_logprobs, std::nullopt);
}

TEST(ResponsesRequest, LeadingSystemTextsAreOne) {
  EXPECT_EQ(ResponsesMessages("\"hi\"", R"(,"instructions":"I")"),
            R"([{"role":"system","content":"I"},{"role":"user","content":"hi"}])");
  EXPECT_EQ(ResponsesMessages(R"([{"type":"message","id":"1","role":"developer","content":"A"},
      {"role":"system","content":[{"type":"input_text","text":"B"},{"type":"input_text","text":"C"}]},
      {"role":"user","content":"one"},{"role":"user","content":"two"},
      {"role":"developer","content":"D"},{"role":"developer","content":"E"}])",
                              R"(,"instructions":"I")"),
            R"([{"role":"system","content":"I\n\nA\n\nB\nC"},{"role":"user","content":"one"},)"
            R"({"role":"user","content":"two"},{"role":"system","content":"D"},)"
            R"({"role":"system","content":"E"}])");
}

TEST(ResponsesRequest, ItemsOfATurnBecomeOneMessage) {
  const std::string handle = kHandle;
  const std::string messages = ResponsesMessages(
      R"([{"role":"user","content":"hi"},
      {"type":"reasoning","id":"rs_)" +
      handle +
      R"(_0","summary":[],"content":[{"type":"reasoning_text","text":"hm"}],"encrypted_content":null},
      {"type":"message","role":"assistant","id":"msg_)" +
      handle +
      R"(_1","content":[{"type":"output_text","text":"T","annotations":[]}]},
      {"type":"function_call","id":"fc_)" +
      handle + R"(_2","call_id":"c1","name":"f","arguments":"{\"a\":1}"},
      {"type":"function_call","call_id":"call_)" +
      handle + R"(_1","name":"g","arguments":""},
      {"type":"function_call_output","call_id":"c1","output":"1"},
      {"type":"function_call_output","call_id":"call_)" +
      handle + R"(_1","output":[{"type":"input_text","text":"2"}]},
      {"role":"user","content":"go"}])");
  EXPECT_EQ(messages,
            R"([{"role":"user","content":"hi"},{"role":"assistant","content":"T",)"
            R"("reasoning_content":"hm","tool_calls":[{"id":"c1","type":"function",)"
            R"("function":{"name":"f","arguments":"{\"a\":1}"}},{"id":"call_)" +
                handle +
                R"(_1","type":"function","function":{"name":"g","arguments":"{}"}}],"handle":")" +
                handle +
                R"("},{"role":"tool","tool_call_id":"c1","content":"1"},)"
                R"({"role":"tool","tool_call_id":"call_)" +
                handle + R"(_1","content":"2"},{"role":"user","content":"go"}])");
}

TEST(ResponsesRequest, TurnsOfDifferentHandlesStayApart) {
  const std::string other = "turn_0000000000000000000000";
  EXPECT_EQ(ResponsesMessages(R"([{"role":"user","content":"hi"},
      {"role":"assistant","id":"msg_)" +
                              std::string(kHandle) + R"(_0","content":"a"},
      {"role":"assistant","id":"msg_)" +
                              other + R"(_0","content":"b"},
      {"role":"assistant","content":"c"}])"),
            R"([{"role":"user","content":"hi"},{"role":"assistant","content":"a","handle":")" +
                std::string(kHandle) + R"("},{"role":"assistant","content":"bc","handle":")" +
                other + R"("}])");
}

TEST(ResponsesRequest, ReferencesAndWhatWasBefore) {
  const Json body = MustParse(R"({"previous_response_id":"resp_1","instructions":"new","input":[
      {"type":"item_reference","id":"fc_1"},
      {"type":"function_call_output","call_id":"c","output":"1"}]})");
  const auto references = ReferencesOf(body);
  ASSERT_TRUE(references);
  EXPECT_EQ(references->previous, "resp_1");
  EXPECT_EQ(references->items, std::vector<std::string>{"fc_1"});
  const Json call = MustParse(
      R"({"type":"function_call","id":"fc_1","call_id":"c","name":"f","arguments":"{}"})");
  const ReferredItems referred = {.before = MustParse(R"([{"role":"user","content":"hi"}])"),
                                  .by_id = {{"fc_1", call}}};
  EXPECT_EQ(ResponsesPrompt(body, referred).messages.dump(),
            R"([{"role":"system","content":"new"},{"role":"user","content":"hi"},)"
            R"({"role":"assistant","content":"","tool_calls":[{"id":"c","type":"function",)"
            R"("function":{"name":"f","arguments":"{}"}}]},)"
            R"({"role":"tool","tool_call_id":"c","content":"1"}])");
  const auto parsed = ParseOpenAiResponses(body, referred);
  ASSERT_TRUE(parsed);
  EXPECT_EQ((*parsed)->input_items()[0], call);
  EXPECT_TRUE((*parsed)->input_items()[1].at("id").is_string());
  EXPECT_EQ((*parsed)->previous(), "resp_1");
  const auto unknown = ParseOpenAiResponses(body);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().message, "expected the id of a stored item, found \"fc_1\"");
}

TEST(ResponsesRequest, ToolsOfOtherKindsArePassedOver) {
  const ChatPrompt prompt = ResponsesPrompt(MustParse(R"({"input":"hi","tools":[
      {"type":"web_search"},{"type":"namespace","tools":[]},{"type":"custom","name":"c"},
      {"type":"function","name":"f","description":"d","parameters":{"type":"object"},
       "strict":false}]})"));
  EXPECT_EQ(prompt.tools.dump(), R"([{"type":"function","function":{"name":"f",)"
                                 R"("description":"d","parameters":{"type":"object"}}}])");
  EXPECT_TRUE(ResponsesPrompt(MustParse(R"({"input":"hi","tools":[{"type":"web_search"}]})"))
                  .tools.is_null());
  EXPECT_TRUE(ResponsesPrompt(MustParse(R"({"input":"hi","tool_choice":"none",
      "tools":[{"type":"function","name":"f"}]})"))
                  .tools.is_null());
}

TEST(ResponsesRequest, Images) {
  EXPECT_EQ(ResponsesMessages(R"([{"role":"user","content":[{"type":"input_text","text":"a"},)"
                              R"({"type":"input_image","image_url":"data:x","detail":"low"}]}])"),
            R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url",)"
            R"("path":"input[0].content[1]","image_url":{"url":"data:x"}}]}])");
  const std::string output =
      R"({"type":"function_call","call_id":"1","name":"f","arguments":"{}"},)"
      R"({"type":"function_call_output","call_id":"1","output":[{"type":"input_image",)"
      R"("image_url":"data:x"}]})";
  const std::string shown =
      R"([{"type":"image_url","path":"input[1].output[0]","image_url":{"url":"data:x"}})";
  const Json alone =
      ResponsesPrompt(MustParse(R"({"model":"m","input":[)" + output + "]}")).messages;
  EXPECT_EQ(alone[1]["content"], "");
  EXPECT_EQ(alone[2]["content"].dump(), shown + "]");
  const Json more = ResponsesPrompt(MustParse(R"({"model":"m","input":[)" + output +
                                              R"(,{"role":"user","content":"u"}]})"))
                        .messages;
  EXPECT_EQ(more[2]["content"].dump(), shown + R"(,{"type":"text","text":"u"}])");
  EXPECT_EQ(ResponsesError(
                R"({"input":[{"role":"user","content":[{"type":"input_image","file_id":"f"}]}]})"),
            "input[0].content[0].file_id: images come in the request or from a URL: there are no "
            "stored files (unsupported)");
}

TEST(ResponsesRequest, RefusesByName) {
  for (const char* field :
       {R"("tool_choice":{"type":"file_search"})", R"("background":true)", R"("truncation":"auto")",
        R"("conversation":"c")", R"("prompt":{"id":"p"})"}) {
    EXPECT_TRUE(ResponsesErrorWith(field).ends_with("(unsupported)"))
        << field << ResponsesErrorWith(field);
  }
  EXPECT_EQ(ResponsesError(R"({"input":[{"role":"user","content":[{"type":"input_file"}]}]})"),
            "input[0].content[0]: parts of type input_file are not supported (unsupported)");
  EXPECT_EQ(ResponsesError(R"({"input":[{"type":"web_search_call","id":"x"}]})"),
            "input[0].type: items of type \"web_search_call\" are not supported: known are "
            "message, reasoning, function_call, function_call_output and item_reference "
            "(unsupported)");
}

TEST(ResponsesRequest, SaysWhatIsWrong) {
  EXPECT_EQ(ResponsesError("[]"), ": expected an object, found []");
  EXPECT_EQ(ResponsesError("{}"), "input: expected a string or a list of items, found nothing");
  EXPECT_EQ(ResponsesError(R"({"input":[]})"), "input: expected at least one item, found []");
  EXPECT_EQ(ResponsesError(R"({"input":[3]})"), "input[0]: expected an object, found 3");
  EXPECT_EQ(
      ResponsesError(R"({"input":[{"type":"function_call_output","call_id":"c","output":""}]})"),
      "input[0].call_id: expected the call_id of a function_call before it, found \"c\"");
  EXPECT_EQ(ResponsesError(R"({"input":[{"type":"function_call","call_id":"c","name":"f",
      "arguments":"{\"a"}]})"),
            "input[0].arguments: expected the text of a JSON object, found \"{\\\"a\"");
  EXPECT_EQ(ResponsesErrorWith(R"("max_output_tokens":0)"),
            "max_output_tokens: expected a whole number from 1 to 2147483647, found 0");
  EXPECT_EQ(ResponsesErrorWith(R"("metadata":{"a":1})"),
            "metadata: expected up to 16 keys of up to 64 bytes, with strings of up to 512 bytes, "
            "found {\"a\":1}");
  EXPECT_EQ(ResponsesErrorWith(R"("tool_choice":3)"),
            "tool_choice: expected none, auto, required or an object, found 3");
}

// Bodies that are nearly right, at random: each is read or refused with a sentence.
TEST(ResponsesRequest, NothingCrashesIt) {
  const std::string body =
      R"({"input":[{"role":"user","content":[{"type":"input_text","text":"a"}]},)"
      R"({"type":"reasoning","id":"r","content":[{"text":"b"}]},)"
      R"({"type":"function_call","call_id":"c","name":"f","arguments":"{}"},)"
      R"({"type":"function_call_output","call_id":"c","output":"1"},)"
      R"({"type":"item_reference","id":"z"}],"include":["x"],)"
      R"("tools":[{"type":"function","name":"f"}],"text":{"format":{}}})";
  RandomStream random(4);
  int read = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string spoilt = body;
    const std::vector<std::string> values = {"null", "[]", "{}", "0", "\"x\"", "true", "[[]]"};
    spoilt.replace(random.Next() % spoilt.size(), random.Next() % 12,
                   values[random.Next() % values.size()]);
    const auto json = ParseJson(spoilt, "test");
    if (!json) continue;
    ++read;
    const auto references = ReferencesOf(*json);
    const auto call = ParseOpenAiResponses(*json);
    EXPECT_TRUE(call || !call.error().message.empty());
  }
  EXPECT_GT(read, 100);
}

}  // namespace
}  // namespace fulmen
