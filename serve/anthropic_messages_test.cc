#include "serve/anthropic_messages.h"

#include <gtest/gtest.h>

#include "serve/cut_json.h"
#include "serve/testing/answer_events.h"

namespace fulmen {
namespace {

using testing::AnswerOf;
using testing::Arguments;
using testing::Call;
using testing::CallEnd;
using testing::EventsIn;
using testing::kHandle;
using testing::MustParse;
using testing::OneStart;
using testing::RandomAnswer;
using testing::Say;
using testing::Stream;
using testing::Think;

std::unique_ptr<ApiCall> MessagesCall(const std::string& more = "") {
  auto call = ParseAnthropicMessages(MustParse(
      R"({"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}])" +
      more + "}"));
  EXPECT_TRUE(call) << call.error().message;
  return *std::move(call);
}

// A message as @anthropic-ai/sdk puts it together.
class MessageAssembler {
 public:
  void Take(const Json& event) {
    const std::string type = event.at("type");
    EXPECT_FALSE(stopped_);
    if (type == "message_start") {
      EXPECT_TRUE(message_.is_null());
      message_ = event.at("message");
    } else if (type == "content_block_start") {
      EXPECT_FALSE(std::exchange(open_, true));
      EXPECT_EQ(event.at("index"), message_.at("content").size());
      message_["content"].push_back(event.at("content_block"));
      arguments_.clear();
    } else if (type == "content_block_delta") {
      EXPECT_TRUE(open_);
      EXPECT_EQ(event.at("index"), message_.at("content").size() - 1);
      TakeDelta(event.at("delta"), message_["content"].back());
    } else if (type == "content_block_stop") {
      EXPECT_TRUE(std::exchange(open_, false));
      EXPECT_EQ(event.at("index"), message_.at("content").size() - 1);
      Json& block = message_["content"].back();
      if (block.at("type") == "tool_use") block["input"] = WholePartsOf(arguments_);
    } else if (type == "message_delta") {
      message_.update(event.at("delta"));
      message_["usage"].update(event.at("usage"));
    } else if (type == "message_stop") {
      EXPECT_FALSE(open_);
      stopped_ = true;
    } else {
      ADD_FAILURE() << "an event that the SDK does not know: " << type;
    }
  }
  bool stopped() const { return stopped_; }
  const Json& message() const { return message_; }

 private:
  void TakeDelta(const Json& delta, Json& block) {
    const std::string type = delta.at("type");
    const auto append = [&](const char* field) {
      block[field] = block.at(field).get<std::string>() + delta.at(field).get<std::string>();
    };
    if (type == "text_delta") append("text");
    if (type == "thinking_delta") append("thinking");
    if (type == "signature_delta") block["signature"] = delta.at("signature");
    if (type == "input_json_delta") arguments_ += delta.at("partial_json").get<std::string>();
  }

  Json message_;
  std::string arguments_;
  bool open_ = false;
  bool stopped_ = false;
};

Json AssembledMessage(const std::string& stream) {
  MessageAssembler assembler;
  for (const Json& event : EventsIn(stream)) assembler.Take(event);
  EXPECT_TRUE(assembler.stopped());
  return assembler.message();
}

TEST(AnthropicAnswer, EventsComeInTheApisOrder) {
  const auto call = MessagesCall();
  const std::string stream =
      Stream(*call, AnswerOf({Think("a"), Think("b"), Say("c"), Call("f"), Arguments("{\"x\""),
                              Arguments(":1}"), CallEnd()},
                             FinishReason::kToolCalls));
  std::vector<std::string> types;
  for (const Json& event : EventsIn(stream)) {
    const Json& delta = Member(Member(event, "delta"), "type");
    types.push_back(delta.is_null() ? event.at("type").get<std::string>()
                                    : delta.get<std::string>());
  }
  const std::vector<std::string> expected = {
      "message_start",      "content_block_start", "thinking_delta",      "thinking_delta",
      "signature_delta",    "content_block_stop",  "content_block_start", "text_delta",
      "content_block_stop", "content_block_start", "input_json_delta",    "input_json_delta",
      "content_block_stop", "message_delta",       "message_stop"};
  EXPECT_EQ(types, expected);
  const Json message = AssembledMessage(stream);
  EXPECT_EQ(message, call->Answer());
  EXPECT_EQ(message.at("stop_reason"), "tool_use");
  EXPECT_EQ(message.at("content")[0].at("signature"), kHandle);
  EXPECT_EQ(message.at("content")[2].at("id"), std::string("toolu_") + kHandle + "_0");
  EXPECT_EQ(message.at("content")[2].at("input"), Json({{"x", 1}}));
  const Json& usage = message.at("usage");
  EXPECT_EQ(usage.at("input_tokens"), 6);
  EXPECT_EQ(usage.at("cache_read_input_tokens"), 4);
  EXPECT_EQ(usage.at("output_tokens"), 7);
  EXPECT_EQ(usage.at("output_tokens_details").at("thinking_tokens"), 2);
}

TEST(AnthropicAnswer, StartsOnlyWithRealCounts) {
  const auto call = MessagesCall();
  std::string out;
  call->Begin(OneStart(), out);
  EXPECT_EQ(out, "");
  call->On(0, PromptProgress{4, 10, 4}, out);
  const std::vector<Json> events = EventsIn(out);
  ASSERT_EQ(events.size(), 1U);
  const Json& message = events[0].at("message");
  EXPECT_EQ(message.at("content"), Json::array());
  EXPECT_EQ(message.at("stop_reason"), nullptr);
  EXPECT_EQ(message.at("usage").at("input_tokens"), 6);
  EXPECT_EQ(message.at("usage").at("cache_read_input_tokens"), 4);
}

TEST(AnthropicAnswer, AssembledStreamsAreTheWholeAnswers) {
  RandomStream random(5);
  for (int round = 0; round < 500; ++round) {
    SCOPED_TRACE(round);
    const std::vector<Event> events = RandomAnswer(random);
    const char* const options[] = {
        "", R"(,"thinking":{"type":"disabled"})",
        R"(,"thinking":{"type":"adaptive","display":"omitted"})",
        R"(,"tool_choice":{"type":"auto","disable_parallel_tool_use":true})"};
    const auto call = MessagesCall(options[random.Next() % 4]);
    const Json assembled = AssembledMessage(Stream(*call, events));
    EXPECT_EQ(assembled, call->Answer());
    const auto whole = MessagesCall(R"(,"tools":[])");
    Stream(*whole, events);
    const auto silent = ParseAnthropicMessages(
        MustParse(R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]})"));
    EXPECT_EQ(Stream(**silent, events), "");
    EXPECT_EQ((*silent)->Answer().at("content"), whole->Answer().at("content"));
  }
}

TEST(AnthropicAnswer, ReasonsToStop) {
  const auto reason = [](const Event& finished) {
    const auto call = MessagesCall();
    const Json message = AssembledMessage(
        Stream(*call, {PromptProgress{1, 1, 0}, Say("x"), finished, testing::Done()}));
    return std::pair(message.at("stop_reason").get<std::string>(), message.at("stop_sequence"));
  };
  using Pair = std::pair<std::string, Json>;
  EXPECT_EQ(reason(testing::Finished(FinishReason::kStop)), Pair("end_turn", nullptr));
  EXPECT_EQ(reason(testing::Finished(FinishReason::kLength)), Pair("max_tokens", nullptr));
  EXPECT_EQ(reason(testing::Finished(FinishReason::kContext)),
            Pair("model_context_window_exceeded", nullptr));
  EXPECT_EQ(
      reason(AnswerFinished{.reason = FinishReason::kStop, .ids = {}, .stop_string = "\n\nHuman:"}),
      Pair("stop_sequence", "\n\nHuman:"));
  EXPECT_EQ(
      reason(AnswerFinished{.reason = FinishReason::kToolCalls, .ids = {}, .stop_string = "x"}),
      Pair("tool_use", nullptr));
}

TEST(AnthropicAnswer, ThinkingIsHiddenOrOmitted) {
  const std::vector<Event> events = AnswerOf({Think("secret"), Say("c")}, FinishReason::kStop);
  const auto hidden = MessagesCall(R"(,"thinking":{"type":"disabled"})");
  const Json without = AssembledMessage(Stream(*hidden, events));
  ASSERT_EQ(without.at("content").size(), 1U);
  EXPECT_EQ(without.at("usage").at("output_tokens"), 7);
  const auto omitted = MessagesCall(R"(,"thinking":{"type":"adaptive","display":"omitted"})");
  const std::string stream = Stream(*omitted, events);
  EXPECT_EQ(stream.find("secret"), std::string::npos);
  const Json empty = AssembledMessage(stream).at("content")[0];
  EXPECT_EQ(empty.at("thinking"), "");
  EXPECT_EQ(empty.at("signature"), kHandle);
}

TEST(AnthropicAnswer, OnlyOneCallWhereParallelOnesAreDisabled) {
  const auto call =
      MessagesCall(R"(,"tool_choice":{"type":"auto","disable_parallel_tool_use":true})");
  const Json message =
      AssembledMessage(Stream(*call, AnswerOf({Call("f"), Arguments("{}"), CallEnd(), Call("g"),
                                               Arguments("{"), Arguments("}"), CallEnd(), Say("!")},
                                              FinishReason::kToolCalls)));
  ASSERT_EQ(message.at("content").size(), 2U);
  EXPECT_EQ(message.at("content")[0].at("name"), "f");
  EXPECT_EQ(message.at("content")[1].at("text"), "!");
}

TEST(AnthropicAnswer, ErrorsAfterTheStart) {
  const auto call = MessagesCall();
  std::string out = Stream(*call, {PromptProgress{1, 1, 0}, Say("x")});
  out.clear();
  call->Fail({ApiErrorKind::kBusy, "no room"}, out);
  EXPECT_EQ(out,
            "event: error\n"
            R"(data: {"type":"error","error":{"type":"overloaded_error","message":"no room"}})"
            "\n\n");
}

// What of a beginning the SDK keeps.
TEST(CutJson, KeepsWhatIsWhole) {
  const auto kept = [](const char* text) { return WholePartsOf(text).dump(); };
  EXPECT_EQ(kept(""), "{}");
  EXPECT_EQ(kept("{"), "{}");
  EXPECT_EQ(kept(R"({"a)"), "{}");
  EXPECT_EQ(kept(R"({"a")"), "{}");
  EXPECT_EQ(kept(R"({"a":)"), "{}");
  EXPECT_EQ(kept(R"({"a":"rm -rf /ho)"), "{}");
  EXPECT_EQ(kept(R"({"a":"b\")"), "{}");
  EXPECT_EQ(kept(R"({"a":"b\\")"), R"({"a":"b\\"})");
  EXPECT_EQ(kept(R"({"a":12)"), "{}");
  EXPECT_EQ(kept(R"({"a":12 )"), R"({"a":12})");
  EXPECT_EQ(kept(R"({"a":12,)"), R"({"a":12})");
  EXPECT_EQ(kept(R"({"a":12,"b")"), R"({"a":12})");
  EXPECT_EQ(kept(R"({"a":tru)"), "{}");
  EXPECT_EQ(kept(R"({"a":true)"), R"({"a":true})");
  EXPECT_EQ(kept(R"({"a":[1,{"b":[2,3)"), R"({"a":[1,{"b":[2]}]})");
  EXPECT_EQ(kept(R"({"a":["x","y)"), R"({"a":["x"]})");
  EXPECT_EQ(kept(R"({"a":{)"), R"({"a":{}})");
  EXPECT_EQ(kept(R"({"a":1,"a":2})"), R"({"a":2})");
  EXPECT_EQ(kept("nonsense"), "{}");
  EXPECT_EQ(kept("]]]}"), "{}");
  EXPECT_EQ(kept("[1]"), "{}");
}

}  // namespace
}  // namespace fulmen
