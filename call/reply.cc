#include "call/reply.h"

#include <array>
#include <utility>

#include "base/parse_number.h"

namespace fulmen {
namespace {

constexpr int64_t kMostTokens = int64_t{1} << 53;

void TakeCount(const Json& value, std::optional<int64_t>& count) {
  if (const auto number = IntegerIn(value, 0, kMostTokens)) count = number;
}

tl::unexpected<CallError> Refuse(CallError error) {
  return tl::unexpected<CallError>(std::move(error));
}

// A status of the caller's own hooks as what ends a call.
CallResult<void> AsCall(const Status& status) {
  if (status) return {};
  return Refuse({.error = status.error()});
}

// The words of the APIs for it.
Reply::End EndOf(std::string_view word) {
  constexpr std::array<std::pair<std::string_view, Reply::End>, 10> kWords = {{
      {"stop", Reply::End::kStop},
      {"end_turn", Reply::End::kStop},
      {"stop_sequence", Reply::End::kStop},
      {"length", Reply::End::kLength},
      {"max_tokens", Reply::End::kLength},
      {"model_context_window_exceeded", Reply::End::kLength},
      {"tool_calls", Reply::End::kCalls},
      {"tool_use", Reply::End::kCalls},
      {"function_call", Reply::End::kCalls},
      {"", Reply::End::kNone},
  }};
  for (const auto& [known, end] : kWords) {
    if (known == word) return end;
  }
  return Reply::End::kOther;
}

}  // namespace

#define FULMEN_CALL_TRY(expression)                                     \
  do {                                                                  \
    if (auto fulmen_call = (expression); !fulmen_call) {                \
      return tl::unexpected<CallError>(std::move(fulmen_call).error()); \
    }                                                                   \
  } while (false)

CallResult<void> ReplyReader::TakeEvent(std::string_view data) {
  if (done_) return {};
  if (data == "[DONE]") {
    done_ = true;
    return {};
  }
  const Result<Json> event = ParseJson(data, "an event of the answer");
  if (!event) return Refuse(Unreadable(event.error().message));
  if (auto error = ErrorInBody(*event)) return Refuse(*std::move(error));
  return api_ == Api::kAnthropic ? TakeAnthropicEvent(*event) : TakeChat(*event);
}

CallResult<void> ReplyReader::TakeWhole(std::string_view body) {
  const Result<Json> parsed = ParseJson(body, "the answer");
  if (!parsed) return Refuse(Unreadable(parsed.error().message));
  const Json& answer = *parsed;
  if (auto error = ErrorInBody(answer)) return Refuse(*std::move(error));
  if (api_ != Api::kAnthropic) {
    const Json& choices = Member(answer, "choices");
    if (!choices.is_array() || choices.empty()) {
      return Refuse(
          Unreadable(fmt::format("the answer should have choices, found {}", Shown(answer))));
    }
    FULMEN_CALL_TRY(TakeChat(answer));
  } else {
    const Json& content = Member(answer, "content");
    if (!content.is_array()) {
      return Refuse(
          Unreadable(fmt::format("the answer should have content, found {}", Shown(answer))));
    }
    reply_.model = TextOf(Member(answer, "model"));
    for (const Json& block : content) FULMEN_CALL_TRY(TakeAnthropicBlock(block, false));
    TakeUsage(Member(answer, "usage"));
    TakeEnd(Member(answer, "stop_reason"));
  }
  done_ = true;
  return {};
}

CallResult<Reply> ReplyReader::Finish() {
  FULMEN_CALL_TRY(AsCall(splitter_.End([&](bool reasoning, std::string_view text) -> Status {
    const auto shown = Show(reasoning, text);
    return shown ? Status() : tl::unexpected<Error>(shown.error().error);
  })));
  if (reply_.end == Reply::End::kNone) {
    CallError cut = Unreadable("the answer ended before its end: it has no finish reason");
    cut.transient = true;
    return Refuse(std::move(cut));
  }
  for (ReplyCall& call : reply_.calls) {
    if (call.arguments.empty()) call.arguments = "{}";
  }
  return std::move(reply_);
}

// A chunk of a stream, the last event of MiniMax's, which has all of the text again, or an answer.
CallResult<void> ReplyReader::TakeChat(const Json& body) {
  if (const auto model = TextOf(Member(body, "model")); !model.empty()) reply_.model = model;
  TakeUsage(Member(body, "usage"));
  const Json& choices = Member(body, "choices");
  if (!choices.is_array() || choices.empty()) return {};
  const Json& choice = choices.front();
  const bool whole = Member(choice, "message").is_object();
  const bool again = whole && (began_ || !reply_.calls.empty() || !reply_.reasoning.empty());
  if (!again) {
    FULMEN_CALL_TRY(TakeChatMessage(Member(choice, whole ? "message" : "delta")));
  }
  TakeEnd(Member(choice, "finish_reason"));
  return {};
}

CallResult<void> ReplyReader::TakeChatMessage(const Json& message) {
  std::string_view reasoning = TextOf(Member(message, "reasoning_content"));
  if (reasoning.empty()) reasoning = TextOf(Member(message, "reasoning"));
  const Json& details = Member(message, "reasoning_details");
  if (!reasoning.empty()) {
    FULMEN_CALL_TRY(Show(true, reasoning));
  } else if (details.is_array()) {
    for (const Json& detail : details) {
      FULMEN_CALL_TRY(Show(true, TextOf(Member(detail, "text"))));
    }
  }
  FULMEN_CALL_TRY(ShowContent(TextOf(Member(message, "content"))));
  const Json& calls = Member(message, "tool_calls");
  if (!calls.is_array()) return {};
  for (size_t i = 0; i < calls.size(); ++i) FULMEN_CALL_TRY(TakeChatCall(calls[i], i));
  return {};
}

CallResult<void> ReplyReader::AddCall() {
  if (reply_.calls.size() == kMostCalls) {
    return Refuse(Unreadable(
        fmt::format("an answer of at most {} tool calls is expected, found more", kMostCalls)));
  }
  reply_.calls.emplace_back();
  return {};
}

CallResult<void> ReplyReader::TakeChatCall(const Json& call, size_t place) {
  const auto index = IntegerIn(Member(call, "index"), 0, int64_t{kMostCalls} - 1);
  const size_t at = index ? static_cast<size_t>(*index) : place;
  while (reply_.calls.size() <= at) FULMEN_CALL_TRY(AddCall());
  ReplyCall& known = reply_.calls[at];
  const Json& function = Member(call, "function");
  if (known.id.empty()) known.id = TextOf(Member(call, "id"));
  if (known.name.empty()) known.name = TextOf(Member(function, "name"));
  const Json& arguments = Member(function, "arguments");
  known.arguments += arguments.is_object() ? arguments.dump() : std::string(TextOf(arguments));
  return {};
}

CallResult<void> ReplyReader::TakeAnthropicEvent(const Json& event) {
  const std::string_view type = TextOf(Member(event, "type"));
  if (type == "message_start") {
    const Json& message = Member(event, "message");
    reply_.model = TextOf(Member(message, "model"));
    TakeUsage(Member(message, "usage"));
  } else if (type == "content_block_start") {
    return TakeAnthropicBlock(Member(event, "content_block"), true);
  } else if (type == "content_block_delta") {
    return TakeAnthropicDelta(Member(event, "delta"));
  } else if (type == "message_delta") {
    TakeUsage(Member(event, "usage"));
    TakeEnd(Member(Member(event, "delta"), "stop_reason"));
  } else if (type == "message_stop") {
    done_ = true;
  }
  return {};
}

// One whole block, or one that `begins` and whose rest follows in deltas.
CallResult<void> ReplyReader::TakeAnthropicBlock(const Json& block, bool begins) {
  const std::string_view type = TextOf(Member(block, "type"));
  if (type == "text") return ShowContent(TextOf(Member(block, "text")));
  if (type == "thinking") {
    reply_.signature += TextOf(Member(block, "signature"));
    return Show(true, TextOf(Member(block, "thinking")));
  }
  if (type != "tool_use") return {};
  FULMEN_CALL_TRY(AddCall());
  ReplyCall& call = reply_.calls.back();
  call.id = TextOf(Member(block, "id"));
  call.name = TextOf(Member(block, "name"));
  const Json& input = Member(block, "input");
  if (!begins && input.is_object()) call.arguments = input.dump();
  return {};
}

CallResult<void> ReplyReader::TakeAnthropicDelta(const Json& delta) {
  const std::string_view type = TextOf(Member(delta, "type"));
  if (type == "text_delta") return ShowContent(TextOf(Member(delta, "text")));
  if (type == "thinking_delta") return Show(true, TextOf(Member(delta, "thinking")));
  if (type == "signature_delta") {
    reply_.signature += TextOf(Member(delta, "signature"));
  } else if (type == "input_json_delta" && !reply_.calls.empty()) {
    reply_.calls.back().arguments += TextOf(Member(delta, "partial_json"));
  }
  return {};
}

CallResult<void> ReplyReader::ShowContent(std::string_view text) {
  return AsCall(splitter_.Feed(text, [&](bool reasoning, std::string_view piece) -> Status {
    const auto shown = Show(reasoning, piece);
    return shown ? Status() : tl::unexpected<Error>(shown.error().error);
  }));
}

CallResult<void> ReplyReader::Show(bool reasoning, std::string_view text) {
  if (text.empty()) return {};
  (reasoning ? reply_.reasoning : reply_.text) += text;
  began_ = true;
  return AsCall(on_piece_(reasoning, text));
}

void ReplyReader::TakeEnd(const Json& word) {
  if (TextOf(word).empty()) return;
  reply_.end_word = TextOf(word);
  reply_.end = EndOf(reply_.end_word);
}

// Later counts of a stream are of all so far.
void ReplyReader::TakeUsage(const Json& usage) {
  if (!usage.is_object()) return;
  ReplyUsage& known = reply_.usage;
  if (api_ == Api::kAnthropic) {
    std::optional<int64_t> fresh;
    std::optional<int64_t> written;
    TakeCount(Member(usage, "input_tokens"), fresh);
    TakeCount(Member(usage, "cache_creation_input_tokens"), written);
    TakeCount(Member(usage, "cache_read_input_tokens"), known.cached);
    if (fresh) known.prompt = *fresh + written.value_or(0) + known.cached.value_or(0);
    TakeCount(Member(usage, "output_tokens"), known.output);
    TakeCount(Member(Member(usage, "output_tokens_details"), "thinking_tokens"), known.reasoning);
  } else {
    TakeCount(Member(usage, "prompt_tokens"), known.prompt);
    TakeCount(Member(usage, "completion_tokens"), known.output);
    TakeCount(Member(Member(usage, "prompt_tokens_details"), "cached_tokens"), known.cached);
    TakeCount(Member(Member(usage, "completion_tokens_details"), "reasoning_tokens"),
              known.reasoning);
  }
  const Json& cost = Member(usage, "cost");
  if (cost.is_number()) known.cost = cost.get<double>();
  if (cost.is_string()) {  // a decimal, which a number of JSON may round
    const auto amount = ParseNumber<double>(cost.get_ref<const std::string&>(), {.low = 0});
    if (amount) known.cost = *amount;
  }
  if (known.cost) known.currency = TextOf(Member(usage, "currency"));
}

#undef FULMEN_CALL_TRY

}  // namespace fulmen
