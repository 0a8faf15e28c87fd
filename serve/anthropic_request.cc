#include "serve/anthropic_request.h"

#include <limits>
#include <utility>

#include "serve/answer_rules.h"
#include "serve/anthropic_prompt.h"
#include "serve/fields.h"

namespace fulmen {
namespace {

constexpr size_t kMostMessages = 100'000;
constexpr size_t kMostStopSequences = 64;

// The format of the answer's words, in its place of today or in that of the beta.
ApiResult<TextRule> ReadOutputFormat(const Fields& fields) {
  FULMEN_API_ASSIGN(const std::optional<Fields> config, fields.Object("output_config"));
  FULMEN_API_ASSIGN(const std::optional<Fields> older, fields.Object("output_format"));
  FULMEN_API_ASSIGN(const std::optional<Fields> format,
                    config ? config->Object("format") : std::optional<Fields>());
  if (!format && !older) return TextRule{};
  return ReadFormat(format ? *format : *older);
}

// A conversation that the server holds. SDKs that try for one send all of it when they are told so.
ApiResult<void> RefuseThreads(const Fields& fields) {
  if (!fields.Has("thread")) return {};
  return tl::unexpected(
      ApiError{.kind = ApiErrorKind::kUnsupported,
               .message = "threads are not supported: send all messages each time",
               .param = fields.PathOf("thread"),
               .details = {{"error_code", "thread_unsupported_request"},
                           {"unsupported", Json::array({"thread"})}}});
}

struct ToolChoice {
  bool none = false;
  AskedCalls asked;
};

ApiResult<ToolChoice> ReadToolChoice(const Fields& fields) {
  ToolChoice read;
  FULMEN_API_ASSIGN(const std::optional<Fields> choice, fields.Object("tool_choice"));
  if (!choice) return read;
  FULMEN_API_ASSIGN(const std::string type, choice->NeededString("type"));
  const bool one = type == "tool";
  read.none = type == "none";
  read.asked.required = one || type == "any";
  if (!read.asked.required && !read.none && type != "auto") {
    return choice->Wrong("type", "auto, any, tool or none");
  }
  read.asked.where = choice->PathOf(one ? "name" : "type");
  if (one) {
    FULMEN_API_ASSIGN(read.asked.only, choice->NeededString("name"));
  }
  FULMEN_API_ASSIGN(read.asked.one_call, choice->Bool("disable_parallel_tool_use", false));
  return read;
}

// How long the model thinks is its own affair: a budget is checked and not kept.
ApiResult<void> ReadThinking(const Fields& fields, AnthropicRequest& request) {
  FULMEN_API_ASSIGN(const std::optional<Fields> thinking, fields.Object("thinking"));
  if (!thinking) return {};
  FULMEN_API_ASSIGN(const std::string type, thinking->NeededString("type"));
  if (type != "enabled" && type != "disabled" && type != "adaptive" && type != "between_tools") {
    return thinking->Wrong("type", "enabled, disabled, adaptive or between_tools");
  }
  request.hides_thinking = type == "disabled";
  FULMEN_API_TRY(thinking->Integer("budget_tokens", 1));
  FULMEN_API_ASSIGN(const std::optional<std::string> display, thinking->String("display"));
  if (display && *display != "summarized" && *display != "omitted") {
    return thinking->Wrong("display", "summarized or omitted");
  }
  request.omits_thinking = display && *display == "omitted";
  return {};
}

ApiResult<ChatPrompt> ReadPrompt(const Fields& fields, const ToolChoice& choice,
                                 AnswerRules& rules) {
  AnthropicTools tools;
  FULMEN_API_ASSIGN(const Json* list, fields.List("tools"));
  for (size_t i = 0; i < list->size(); ++i) {
    FULMEN_API_TRY(tools.Add((*list)[i], fields.PathOf("tools", i)));
  }
  AnthropicPrompt prompt(tools);
  FULMEN_API_TRY(prompt.AddSystem(fields.At("system"), fields.PathOf("system")));
  FULMEN_API_ASSIGN(const Json* messages, fields.NeededList("messages"));
  if (messages->empty() || messages->size() > kMostMessages) {
    return ApiFail(ApiErrorKind::kInvalid, "messages", "expected from 1 to {} messages, found {}",
                   kMostMessages, messages->size());
  }
  for (size_t i = 0; i < messages->size(); ++i) {
    FULMEN_API_TRY(prompt.AddMessage((*messages)[i], fields.PathOf("messages", i)));
  }
  FULMEN_API_ASSIGN(ChatPrompt read, prompt.Finish());
  if (!choice.none) read.tools = tools.Shown();
  FULMEN_API_TRY(AddCalls(read.tools, tools.strict(), choice.asked, rules));
  return read;
}

// What a count and an answer have in common.
ApiResult<AnthropicRequest> ReadShared(const Fields& fields) {
  AnthropicRequest request;
  FULMEN_API_ASSIGN(request.generation.model, fields.NeededString("model"));
  FULMEN_API_ASSIGN(request.generation.rules.text, ReadOutputFormat(fields));
  FULMEN_API_TRY(RefuseThreads(fields));
  FULMEN_API_ASSIGN(const ToolChoice choice, ReadToolChoice(fields));
  request.one_call = choice.asked.one_call;
  FULMEN_API_TRY(ReadThinking(fields, request));
  FULMEN_API_ASSIGN(ChatPrompt prompt, ReadPrompt(fields, choice, request.generation.rules));
  request.generation.prompt = std::move(prompt);
  request.generation.max_tokens = 0;
  return request;
}

}  // namespace

ApiResult<AnthropicRequest> ReadAnthropicRequest(const Json& body) {
  FULMEN_API_ASSIGN(const Fields fields, Fields::Of(body));
  FULMEN_API_ASSIGN(AnthropicRequest request, ReadShared(fields));
  Generation& generation = request.generation;
  FULMEN_API_ASSIGN(generation.max_tokens,
                    fields.Integer("max_tokens", 0, std::numeric_limits<int32_t>::max()));
  if (!generation.max_tokens) return fields.Wrong("max_tokens", "a whole number");
  generation.max_tokens_must_fit = true;
  FULMEN_API_ASSIGN(generation.stop, fields.Strings("stop_sequences", kMostStopSequences));
  FULMEN_API_ASSIGN(generation.sampling.temperature, fields.Number("temperature", 0, 1));
  FULMEN_API_ASSIGN(generation.sampling.top_p, fields.Number("top_p", 0, 1));
  FULMEN_API_ASSIGN(generation.sampling.top_k, fields.Integer("top_k", 0));
  FULMEN_API_ASSIGN(request.stream, fields.Bool("stream", false));
  return request;
}

ApiResult<Generation> ReadAnthropicPrompt(const Json& body) {
  FULMEN_API_ASSIGN(const Fields fields, Fields::Of(body));
  FULMEN_API_ASSIGN(AnthropicRequest request, ReadShared(fields));
  return std::move(request.generation);
}

}  // namespace fulmen
