// What tests of APIs share: events as an engine sends them, and streams taken apart again.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.h"
#include "engine/image_reader.h"
#include "engine/testing/nano.h"
#include "serve/api_call.h"

namespace fulmen::testing {

inline constexpr const char* kHandle = "turn_abcdefghijklmnopqrs-_9";

inline Json MustParse(std::string_view text) { return ValueOrDie(ParseJson(text, "test")); }

// The prompt of a request as it was read, which has to be one for the formats.
template <class Request>
ChatPrompt PromptOf(const ApiResult<Request>& request) {
  EXPECT_TRUE(request) << request.error().param << ": " << request.error().message;
  if (!request) return {};
  const auto& prompt = std::get<ChatPrompt>(request->generation.prompt);
  const bool images = !ImageParts(prompt.messages).empty();
  const auto pieces = FormatChat(images ? ChatFormat::kVl01 : ChatFormat::kM1,
                                 {{"messages", prompt.messages}, {"tools", prompt.tools}});
  EXPECT_TRUE(pieces) << pieces.error().message;
  return prompt;
}

template <class T>
std::string ErrorOf(const ApiResult<T>& result) {
  if (result) return "none";
  const ApiError& error = result.error();
  const char* const kind = error.kind == ApiErrorKind::kUnsupported ? " (unsupported)" : "";
  return error.param + ": " + error.message + kind;
}

inline std::vector<AnswerStart> OneStart() {
  std::vector<AnswerStart> starts;
  starts.push_back({.model = "nano",
                    .tokenizer = NanoTokenizer(),
                    .prompt = {1, 2, 3},
                    .handles = {kHandle},
                    .created = 1'700'000'000});
  return starts;
}

inline Event Piece(AnswerPiece::Kind kind, std::string text = "") {
  return AnswerDelta{0, {kind, std::move(text)}};
}
inline Event Think(std::string text) {
  return Piece(AnswerPiece::Kind::kReasoning, std::move(text));
}
inline Event Say(std::string text) { return Piece(AnswerPiece::Kind::kText, std::move(text)); }
inline Event Call(std::string name) { return Piece(AnswerPiece::Kind::kCall, std::move(name)); }
inline Event Arguments(std::string text) {
  return Piece(AnswerPiece::Kind::kArguments, std::move(text));
}
inline Event CallEnd() { return Piece(AnswerPiece::Kind::kCallEnd); }

inline Event Finished(FinishReason reason) { return AnswerFinished{.reason = reason, .ids = {}}; }
inline Event Done() {
  return RequestDone{
      .usage = {.prompt_tokens = 10, .cached_tokens = 4, .output_tokens = 7, .reasoning_tokens = 2},
      .timings = {},
      .status = {}};
}

// An answer of these pieces, with all that stands around them.
inline std::vector<Event> AnswerOf(const std::vector<Event>& pieces, FinishReason reason) {
  std::vector<Event> events = {PromptProgress{4, 10, 4}, PromptProgress{10, 10, 4}};
  events.insert(events.end(), pieces.begin(), pieces.end());
  events.push_back(Finished(reason));
  events.push_back(Done());
  return events;
}

// What the call sends for them.
inline std::string Stream(ApiCall& call, const std::vector<Event>& events) {
  std::string out;
  call.Begin(OneStart(), out);
  for (const Event& event : events) call.On(0, event, out);
  return out;
}

// The data of a stream's events; each must have the name that its data says.
inline std::vector<Json> EventsIn(std::string_view stream) {
  std::vector<Json> events;
  while (!stream.empty()) {
    const size_t end = stream.find("\n\n");
    if (end == std::string_view::npos) {
      ADD_FAILURE() << "an event does not end: " << stream;
      break;
    }
    const std::string_view event = stream.substr(0, end);
    stream.remove_prefix(end + 2);
    const size_t data = event.find("\ndata: ");
    EXPECT_TRUE(event.starts_with("event: ") && data != std::string_view::npos) << event;
    events.push_back(MustParse(event.substr(data + 7)));
    EXPECT_EQ(events.back().value("type", ""), event.substr(7, data - 7));
  }
  return events;
}

// A random answer: thoughts, text and calls in any order, cut into pieces, ended anywhere.
inline std::vector<Event> RandomAnswer(RandomStream& random) {
  const auto below = [&](uint64_t most) { return random.Next() % most; };
  const std::vector<std::string> objects = {
      "{}", R"({"a":1})", R"({"path":"x/\"y\\","n":[1,2.5,-3e4,true,null],"o":{"k":"\u00e9"}})",
      R"({ "command" : "ls -l" , "deep" : [[{"a":[]}],"\\"] })"};
  std::vector<Event> pieces;
  bool whole_calls = false;
  const uint64_t parts = below(6);
  for (uint64_t part = 0; part < parts; ++part) {
    const uint64_t kind = part == 0 ? below(4) : 1 + below(3);
    if (kind == 0) {
      for (uint64_t i = 0; i <= below(3); ++i) pieces.push_back(Think("hm " + std::to_string(i)));
    } else if (kind == 1) {
      for (uint64_t i = 0; i <= below(3); ++i) pieces.push_back(Say("w\xC3\xB6rd\n"));
    } else {
      pieces.push_back(Call("f" + std::to_string(below(3))));
      std::string rest = objects[below(objects.size())];
      const bool cut = below(4) == 0;
      if (cut) rest.resize(below(rest.size() + 1));
      while (!rest.empty()) {
        const size_t size = 1 + below(rest.size());
        pieces.push_back(Arguments(rest.substr(0, size)));
        rest.erase(0, size);
      }
      if (!cut) pieces.push_back(CallEnd());
      whole_calls |= !cut;
      if (cut && below(2) == 0) break;
    }
  }
  const FinishReason reasons[] = {whole_calls ? FinishReason::kToolCalls : FinishReason::kStop,
                                  FinishReason::kLength, FinishReason::kContext};
  std::vector<Event> events = AnswerOf(pieces, reasons[below(3)]);
  if (!whole_calls && below(4) == 0) {
    events[events.size() - 2] =
        AnswerFinished{.reason = FinishReason::kStop, .ids = {}, .stop_string = "END"};
  }
  return events;
}

}  // namespace fulmen::testing
