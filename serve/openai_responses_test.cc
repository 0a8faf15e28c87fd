#include "serve/openai_responses.h"

#include <gtest/gtest.h>

#include <set>

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
using testing::NanoTokenizer;
using testing::RandomAnswer;
using testing::Say;
using testing::Stream;
using testing::Think;

std::unique_ptr<ResponsesCall> CallWith(const std::string& more = "") {
  auto call =
      ParseOpenAiResponses(MustParse(R"({"model":"m","stream":true,"input":"hi")" + more + "}"));
  EXPECT_TRUE(call) << call.error().message;
  return *std::move(call);
}

// A response as the openai package puts it together, with what that checks.
class ResponseAssembler {
 public:
  void Take(const Json& event) {
    const std::string type = event.at("type");
    EXPECT_EQ(event.at("sequence_number"), next_++);
    EXPECT_FALSE(ended_);
    if (next_ == 1) {
      EXPECT_EQ(type, "response.created");
    }
    if (event.contains("response")) {
      if (!response_.is_null()) {
        EXPECT_EQ(event.at("response").at("id"), response_.at("id"));
      }
      response_ = event.at("response");
      ended_ = type == "response.completed" || type == "response.incomplete" ||
               type == "response.failed";
      if (type == "response.completed") {
        EXPECT_EQ(done_, items_.size());
      }
      return;
    }
    const size_t index = event.at("output_index");
    if (type == "response.output_item.added") {
      const Json& item = event.at("item");
      EXPECT_EQ(index, items_.size());
      EXPECT_EQ(done_, items_.size()) << "an item begins within another";
      EXPECT_TRUE(ids_.insert(item.at("id")).second);
      EXPECT_EQ(item.at("status"), "in_progress");
      items_.push_back(item);
      return;
    }
    ASSERT_EQ(index + 1, items_.size());
    Json& item = items_.back();
    if (type == "response.output_item.done") {
      EXPECT_EQ(event.at("item").at("id"), item.at("id"));
      ++done_;
      item["status"] = event.at("item").at("status");
      EXPECT_EQ(event.at("item"), item) << "what was streamed is not the whole item";
      return;
    }
    EXPECT_EQ(event.at("item_id"), item.at("id"));
    TakeInItem(type, event, item);
  }

  bool ended() const { return ended_; }
  const Json& response() const { return response_; }
  const Json& items() const { return items_; }

 private:
  static void TakeInItem(const std::string& type, const Json& event, Json& item) {
    const auto append = [&](Json& text) {
      text = text.get<std::string>() + event.at("delta").get<std::string>();
    };
    if (type.starts_with("response.function_call_arguments.")) {
      EXPECT_EQ(item.at("type"), "function_call");
      if (type.ends_with("delta")) return append(item["arguments"]);
      EXPECT_EQ(event.at("arguments"), item.at("arguments"));
      return;
    }
    const size_t index = event.at("content_index");
    if (type == "response.content_part.added") {
      EXPECT_EQ(index, item.at("content").size());
      item["content"].push_back(event.at("part"));
      return;
    }
    ASSERT_EQ(index + 1, item.at("content").size());
    Json& part = item["content"].back();
    if (type == "response.content_part.done") {
      EXPECT_EQ(event.at("part"), part);
    } else if (type == "response.output_text.delta" || type == "response.reasoning_text.delta") {
      append(part["text"]);
      for (const Json& logprob : Member(event, "logprobs")) part["logprobs"].push_back(logprob);
    } else if (type == "response.output_text.done" || type == "response.reasoning_text.done") {
      EXPECT_EQ(event.at("text"), part.at("text"));
    } else {
      ADD_FAILURE() << "an event that the SDK does not know: " << type;
    }
  }

  int64_t next_ = 0;
  Json response_;
  Json items_ = Json::array();
  std::set<std::string> ids_;
  size_t done_ = 0;
  bool ended_ = false;
};

Json AssembledResponse(const std::string& stream) {
  ResponseAssembler assembler;
  for (const Json& event : EventsIn(stream)) assembler.Take(event);
  EXPECT_TRUE(assembler.ended());
  EXPECT_EQ(assembler.items(), assembler.response().at("output"));
  return assembler.response();
}

TEST(ResponsesAnswer, EventsComeInTheApisOrder) {
  const auto call = CallWith(R"(,"include":["reasoning.encrypted_content"])");
  const std::string stream =
      Stream(*call, AnswerOf({Think("a"), Say("c"), Call("f"), Arguments("{}"), CallEnd()},
                             FinishReason::kToolCalls));
  std::vector<std::string> types;
  for (const Json& event : EventsIn(stream)) {
    types.push_back(event.at("type").get<std::string>().substr(9));
  }
  const std::vector<std::string> expected = {"created",
                                             "in_progress",
                                             "output_item.added",
                                             "content_part.added",
                                             "reasoning_text.delta",
                                             "reasoning_text.done",
                                             "content_part.done",
                                             "output_item.done",
                                             "output_item.added",
                                             "content_part.added",
                                             "output_text.delta",
                                             "output_text.done",
                                             "content_part.done",
                                             "output_item.done",
                                             "output_item.added",
                                             "function_call_arguments.delta",
                                             "function_call_arguments.done",
                                             "output_item.done",
                                             "completed"};
  EXPECT_EQ(types, expected);
  const Json response = AssembledResponse(stream);
  EXPECT_EQ(response, call->Answer());
  EXPECT_EQ(response.at("status"), "completed");
  EXPECT_EQ(response.at("created_at"), 1'700'000'000);
  const Json& output = response.at("output");
  EXPECT_EQ(output[0].at("id"), std::string("rs_") + kHandle + "_0");
  EXPECT_EQ(output[0].at("encrypted_content"), kHandle);
  EXPECT_EQ(output[1].at("id"), std::string("msg_") + kHandle + "_1");
  EXPECT_EQ(output[2].at("id"), std::string("fc_") + kHandle + "_2");
  EXPECT_EQ(output[2].at("call_id"), std::string("call_") + kHandle + "_0");
  EXPECT_EQ(response.at("usage"), MustParse(R"({"input_tokens":10,
                "input_tokens_details":{"cached_tokens":4,"cache_write_tokens":0},
                "output_tokens":7,"output_tokens_details":{"reasoning_tokens":2},
                "total_tokens":17})"));
}

TEST(ResponsesAnswer, AssembledStreamsAreTheWholeAnswers) {
  RandomStream random(7);
  for (int round = 0; round < 500; ++round) {
    SCOPED_TRACE(round);
    const std::vector<Event> events = RandomAnswer(random);
    const char* const options[] = {"", R"(,"include":["reasoning.encrypted_content"])",
                                   R"(,"parallel_tool_calls":false)",
                                   R"(,"store":false,"instructions":"x","metadata":{"a":"b"})"};
    const auto call = CallWith(options[random.Next() % 4]);
    const Json assembled = AssembledResponse(Stream(*call, events));
    EXPECT_EQ(assembled, call->Answer());
    const auto streamed = CallWith();
    Stream(*streamed, events);
    const auto whole = ParseOpenAiResponses(MustParse(R"({"model":"m","input":"hi"})"));
    EXPECT_EQ(Stream(**whole, events), "");
    EXPECT_EQ((*whole)->Answer().at("output"), streamed->Answer().at("output"));
  }
}

TEST(ResponsesAnswer, WhatWasCutShortIsIncomplete) {
  const auto call = CallWith();
  const Json response = AssembledResponse(
      Stream(*call, AnswerOf({Say("a"), Call("f"), Arguments("{\"x\"")}, FinishReason::kLength)));
  EXPECT_EQ(response.at("status"), "incomplete");
  EXPECT_EQ(response.at("incomplete_details").at("reason"), "max_output_tokens");
  EXPECT_EQ(response.at("output")[0].at("status"), "completed");
  EXPECT_EQ(response.at("output")[1].at("status"), "incomplete");
  EXPECT_EQ(response.at("output")[1].at("arguments"), "{\"x\"");
  const auto broken = CallWith();
  const Json other = AssembledResponse(
      Stream(*broken, AnswerOf({Call("f"), Arguments("{"), Say("oops")}, FinishReason::kStop)));
  EXPECT_EQ(other.at("status"), "completed");
  EXPECT_EQ(other.at("output")[0].at("status"), "incomplete");
}

TEST(ResponsesAnswer, ErrorsAreResponsesThatFailed) {
  const auto late = CallWith();
  std::string out = Stream(*late, {Say("x")});
  late->Fail({ApiErrorKind::kInternal, "broken"}, out);
  ResponseAssembler assembler;
  for (const Json& event : EventsIn(out)) assembler.Take(event);
  EXPECT_TRUE(assembler.ended());
  const Json failed = assembler.response();
  EXPECT_EQ(failed.at("status"), "failed");
  EXPECT_EQ(failed.at("error"), MustParse(R"({"code":"server_error","message":"broken"})"));
  EXPECT_EQ(failed.at("output")[0].at("content")[0].at("text"), "x");

  const auto early = CallWith();
  out.clear();
  early->Fail({.kind = ApiErrorKind::kContextLength,
               .message = "",
               .overflow = ContextOverflow{.prompt = 9, .max_tokens = {}, .context = 8}},
              out);
  const std::vector<Json> events = EventsIn(out);
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].at("type"), "response.created");
  EXPECT_EQ(events[2].at("type"), "response.failed");
  EXPECT_EQ(events[2].at("response").at("error").at("code"), "context_length_exceeded");

  const auto slow = CallWith();
  const Json timed_out = AssembledResponse(Stream(*slow, AnswerOf({}, FinishReason::kDeadline)));
  EXPECT_EQ(timed_out.at("status"), "failed");
  EXPECT_EQ(timed_out.at("error").at("code"), "server_error");
}

TEST(ResponsesAnswer, RepeatsTheRequest) {
  const auto call = CallWith(R"(,"temperature":0.5,"tools":[{"type":"web_search"}],"top_p":0.9,
      "tool_choice":"auto","instructions":"I","metadata":{"k":"v"},"parallel_tool_calls":false)");
  const Json response = AssembledResponse(Stream(*call, AnswerOf({Say("x")}, FinishReason::kStop)));
  EXPECT_EQ(response.at("temperature"), 0.5);
  EXPECT_EQ(response.at("top_p"), 0.9);
  EXPECT_EQ(response.at("instructions"), "I");
  EXPECT_EQ(response.at("metadata"), Json({{"k", "v"}}));
  EXPECT_EQ(response.at("parallel_tool_calls"), false);
  EXPECT_EQ(response.at("tools")[0].at("type"), "web_search");
  EXPECT_EQ(response.at("text").at("format").at("type"), "text");
  EXPECT_EQ(response.at("error"), nullptr);
}

Event Sampled(std::string_view text, double logprob = -0.5) {
  const auto ids = NanoTokenizer().Encode(text, Tokenizer::Markers::kPlain, true);
  EXPECT_EQ(ids.size(), 1U) << text;
  return TokenSampled{.choice = 0, .id = ids[0], .logprob = logprob, .top = {{ids[0], logprob}}};
}

TEST(ResponsesAnswer, LogprobsAreThoseOfTheText) {
  const auto call = CallWith(R"(,"top_logprobs":1)");
  // A tag without text, thoughts, then text of which some was held back.
  const Json response = AssembledResponse(
      Stream(*call, AnswerOf({Sampled("<"), Sampled("t"), Think("t"), Sampled(">"), Sampled("a"),
                              Sampled("b"), Say("a"), Sampled("c"), Say("bc")},
                             FinishReason::kStop)));
  const Json& part = response.at("output")[1].at("content")[0];
  std::string tokens;
  for (const Json& logprob : part.at("logprobs")) {
    tokens += logprob.at("token").get<std::string>();
    EXPECT_EQ(logprob.at("top_logprobs").size(), 1U);
    EXPECT_EQ(logprob.at("bytes").size(), 1U);
  }
  EXPECT_EQ(tokens, "abc");
  EXPECT_EQ(part.at("text"), "abc");
  const auto unlikely = CallWith(R"(,"include":["message.output_text.logprobs"])");
  const Json other = AssembledResponse(
      Stream(*unlikely, AnswerOf({Sampled("a", -std::numeric_limits<double>::infinity()), Say("a")},
                                 FinishReason::kStop)));
  EXPECT_EQ(other.at("output")[0].at("content")[0].at("logprobs")[0].at("logprob"), -9999.0);
}

}  // namespace
}  // namespace fulmen
