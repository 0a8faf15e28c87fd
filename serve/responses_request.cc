#include "serve/responses_request.h"

#include <limits>
#include <set>
#include <utility>

#include "serve/answer_rules.h"
#include "serve/fields.h"
#include "serve/openai_words.h"
#include "serve/responses_items.h"

namespace fulmen {
namespace {

constexpr size_t kMostMetadata = 16;

tl::unexpected<ApiError> Unsupported(const Fields& fields, std::string_view field,
                                     std::string_view why) {
  return ApiFail(ApiErrorKind::kUnsupported, fields.PathOf(field), "{}", why);
}

// What would change the answer, and is not there.
ApiResult<void> RefuseMissing(const Fields& fields) {
  FULMEN_API_ASSIGN(const bool background, fields.Bool("background", false));
  if (background) return Unsupported(fields, "background", "background is not supported");
  for (const std::string_view field : {"conversation", "prompt"}) {
    if (fields.Has(field)) return Unsupported(fields, field, "this field is not supported");
  }
  FULMEN_API_ASSIGN(const std::optional<std::string> truncation, fields.String("truncation"));
  if (truncation && *truncation == "auto") {
    return Unsupported(fields, "truncation",
                       "a conversation that is too long is refused, never cut: disabled is "
                       "supported, found auto");
  }
  if (truncation && *truncation != "disabled") return fields.Wrong("truncation", "disabled");
  return {};
}

ApiResult<TextRule> ReadTextFormat(const Fields& fields) {
  FULMEN_API_ASSIGN(const std::optional<Fields> text, fields.Object("text"));
  if (!text) return TextRule{};
  FULMEN_API_ASSIGN(const std::optional<Fields> format, text->Object("format"));
  return format ? ReadFormat(*format) : TextRule{};
}

// Of tools that are named with a type, the functions.
ApiResult<void> KeepAllowedFunctions(const Fields& choice, Json& tools) {
  FULMEN_API_ASSIGN(const Json* list, choice.NeededList("tools"));
  std::set<std::string> names;
  for (size_t i = 0; i < list->size(); ++i) {
    FULMEN_API_ASSIGN(const Fields tool, Fields::Of((*list)[i], choice.PathOf("tools", i)));
    if (tool.At("type") != "function") continue;
    FULMEN_API_ASSIGN(std::string name, tool.NeededString("name"));
    names.insert(std::move(name));
  }
  Json kept = Json::array();
  for (Json& tool : tools) {
    if (names.contains(tool["function"]["name"])) kept.push_back(std::move(tool));
  }
  tools = std::move(kept);
  return {};
}

// What may and must be called; of `tools` those stay that are shown to the model.
ApiResult<AskedCalls> ReadResponseToolChoice(const Fields& fields, Json& tools) {
  const Json& choice = fields.At("tool_choice");
  AskedCalls asked = {.where = "tool_choice"};
  if (choice == "none") tools = Json::array();
  asked.required = choice == "required";
  if (choice.is_null() || choice == "none" || choice == "auto" || asked.required) return asked;
  if (!choice.is_object()) return fields.Wrong("tool_choice", "none, auto, required or an object");
  FULMEN_API_ASSIGN(const Fields object, Fields::Of(choice, "tool_choice"));
  FULMEN_API_ASSIGN(const std::string type, object.NeededString("type"));
  if (type == "function") {
    FULMEN_API_ASSIGN(asked.only, object.NeededString("name"));
    asked.required = true;
    asked.where = object.PathOf("name");
    return asked;
  }
  if (type != "allowed_tools") {
    return Unsupported(fields, "tool_choice", "only functions can be chosen, and allowed_tools");
  }
  FULMEN_API_ASSIGN(const std::string mode, object.NeededString("mode"));
  if (mode != "auto" && mode != "required") return object.Wrong("mode", "auto or required");
  asked.required = mode == "required";
  FULMEN_API_TRY(KeepAllowedFunctions(object, tools));
  return asked;
}

// Tools that run elsewhere are passed over: the model is not told of them, so it calls none.
ApiResult<Json> ReadResponseTools(const Fields& fields, bool one_call, AnswerRules& rules) {
  Json tools = Json::array();
  StrictTools strict_tools;
  FULMEN_API_ASSIGN(const Json* list, fields.List("tools"));
  for (size_t i = 0; i < list->size(); ++i) {
    FULMEN_API_ASSIGN(const Fields tool, Fields::Of((*list)[i], fields.PathOf("tools", i)));
    FULMEN_API_ASSIGN(const std::string type, tool.NeededString("type"));
    if (type != "function") continue;
    FULMEN_API_ASSIGN(const std::string name, tool.NeededString("name"));
    FULMEN_API_ASSIGN(const std::optional<std::string> description, tool.String("description"));
    FULMEN_API_ASSIGN(const std::optional<Fields> parameters, tool.Object("parameters"));
    FULMEN_API_ASSIGN(const bool strict, tool.Bool("strict", false));
    if (strict) strict_tools.emplace(name, tool.PathOf("parameters"));
    Json function = {{"name", name}};
    if (description) function["description"] = *description;
    if (parameters) function["parameters"] = tool.At("parameters");
    tools.push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  FULMEN_API_ASSIGN(AskedCalls asked, ReadResponseToolChoice(fields, tools));
  asked.one_call = one_call;
  FULMEN_API_TRY(AddCalls(tools, strict_tools, asked, rules));
  return tools.empty() ? Json() : std::move(tools);
}

// The items of "input", references replaced, each with an id.
ApiResult<Json> ReadInput(const Fields& fields, const ReferredItems& referred) {
  const Json& input = fields.At("input");
  Json items = Json::array();
  if (input.is_string()) {
    items.push_back({{"type", "message"},
                     {"role", "user"},
                     {"content", {{{"type", "input_text"}, {"text", input}}}}});
  } else if (input.is_array()) {
    items = input;
  } else if (!input.is_null() || !fields.Has("previous_response_id")) {
    return fields.Wrong("input", "a string or a list of items");
  }
  for (size_t i = 0; i < items.size(); ++i) {
    Json& item = items[i];
    if (Member(item, "type") == "item_reference") {
      FULMEN_API_ASSIGN(const Fields reference, Fields::Of(item, fields.PathOf("input", i)));
      FULMEN_API_ASSIGN(const std::string id, reference.NeededString("id"));
      const auto found = referred.by_id.find(id);
      if (found == referred.by_id.end()) return reference.Wrong("id", "the id of a stored item");
      item = found->second;
    } else if (item.is_object() && Member(item, "id").is_null()) {
      item["id"] = RandomId("item_");
    }
  }
  return items;
}

ApiResult<ChatPrompt> ReadPrompt(const Fields& fields, const ReferredItems& referred,
                                 ResponsesRequest& request) {
  const Json& input = request.input;
  ChatPrompt prompt;
  ResponsesItems items;
  FULMEN_API_ASSIGN(const std::optional<std::string> instructions, fields.String("instructions"));
  if (instructions) items.AddInstructions(*instructions);
  for (size_t i = 0; i < referred.before.size(); ++i) {
    FULMEN_API_TRY(items.Add(referred.before[i], fields.PathOf("previous_response_id", i)));
  }
  for (size_t i = 0; i < input.size(); ++i) {
    FULMEN_API_TRY(items.Add(input[i], fields.PathOf("input", i)));
  }
  prompt.messages = items.TakeMessages();
  if (prompt.messages.empty()) return fields.Wrong("input", "at least one item");
  FULMEN_API_ASSIGN(prompt.tools,
                    ReadResponseTools(fields, request.one_call, request.generation.rules));
  return prompt;
}

ApiResult<void> CheckMetadata(const Fields& fields) {
  FULMEN_API_ASSIGN(const std::optional<Fields> metadata, fields.Object("metadata"));
  if (!metadata) return {};
  const Json& pairs = fields.At("metadata");
  constexpr size_t kLongestKey = 64;
  constexpr size_t kLongestValue = 512;
  bool good = pairs.size() <= kMostMetadata;
  for (const auto& [key, value] : pairs.items()) {
    good = good && key.size() <= kLongestKey && value.is_string() &&
           value.get_ref<const std::string&>().size() <= kLongestValue;
  }
  if (good) return {};
  return fields.Wrong("metadata",
                      "up to 16 keys of up to 64 bytes, with strings of up to 512 bytes");
}

// Probabilities are told where either of two fields asks for them.
ApiResult<void> ReadIncluded(const Fields& fields, ResponsesRequest& request) {
  FULMEN_API_ASSIGN(request.generation.top_logprobs,
                    fields.Integer("top_logprobs", 0, kMostTopLogprobs));
  if (request.generation.top_logprobs == 0) request.generation.top_logprobs.reset();
  FULMEN_API_ASSIGN(const Json* include, fields.List("include"));
  for (const Json& part : *include) {
    if (part == "reasoning.encrypted_content") request.encrypts_reasoning = true;
    if (part == "message.output_text.logprobs" && !request.generation.top_logprobs) {
      request.generation.top_logprobs = 0;
    }
  }
  return {};
}

// `otherwise` where the request says nothing.
Json Echoed(const Fields& fields, std::string_view name, const Json& otherwise) {
  return fields.Has(name) ? fields.At(name) : otherwise;
}

Json EchoOf(const Fields& fields) {
  const Json& reasoning = fields.At("reasoning");
  return {{"instructions", fields.At("instructions")},
          {"max_output_tokens", fields.At("max_output_tokens")},
          {"max_tool_calls", fields.At("max_tool_calls")},
          {"metadata", Echoed(fields, "metadata", Json::object())},
          {"parallel_tool_calls", Echoed(fields, "parallel_tool_calls", true)},
          {"previous_response_id", fields.At("previous_response_id")},
          {"prompt_cache_key", fields.At("prompt_cache_key")},
          {"reasoning",
           {{"effort", Member(reasoning, "effort")}, {"summary", Member(reasoning, "summary")}}},
          {"safety_identifier", fields.At("safety_identifier")},
          {"service_tier", "default"},
          {"store", Echoed(fields, "store", true)},
          {"temperature", fields.At("temperature")},
          {"text", Echoed(fields, "text", {{"format", {{"type", "text"}}}})},
          {"tool_choice", Echoed(fields, "tool_choice", "auto")},
          {"tools", Echoed(fields, "tools", Json::array())},
          {"top_logprobs", Echoed(fields, "top_logprobs", 0)},
          {"top_p", fields.At("top_p")},
          {"truncation", "disabled"},
          {"user", fields.At("user")}};
}

// What a count and an answer have in common.
ApiResult<ResponsesRequest> ReadShared(const Fields& fields, const ReferredItems& referred) {
  ResponsesRequest request;
  FULMEN_API_TRY(RefuseMissing(fields));
  FULMEN_API_ASSIGN(const std::optional<std::string> model, fields.String("model"));
  request.generation.model = model.value_or("");
  FULMEN_API_ASSIGN(const std::optional<std::string> previous,
                    fields.String("previous_response_id"));
  request.previous = previous.value_or("");
  FULMEN_API_ASSIGN(request.input, ReadInput(fields, referred));
  FULMEN_API_ASSIGN(const bool parallel, fields.Bool("parallel_tool_calls", true));
  request.one_call = !parallel;
  FULMEN_API_ASSIGN(request.generation.rules.text, ReadTextFormat(fields));
  FULMEN_API_ASSIGN(ChatPrompt prompt, ReadPrompt(fields, referred, request));
  request.generation.prompt = std::move(prompt);
  request.generation.max_tokens = 0;
  return request;
}

}  // namespace

ApiResult<ResponseReferences> ReferencesOf(const Json& body) {
  ResponseReferences references;
  FULMEN_API_ASSIGN(const Fields fields, Fields::Of(body));
  FULMEN_API_ASSIGN(const std::optional<std::string> previous,
                    fields.String("previous_response_id"));
  references.previous = previous.value_or("");
  const Json& input = fields.At("input");
  if (!input.is_array()) return references;
  for (const Json& item : input) {
    if (Member(item, "type") != "item_reference") continue;
    if (const Json& id = Member(item, "id"); id.is_string()) references.items.push_back(id);
  }
  return references;
}

ApiResult<ResponsesRequest> ReadResponsesRequest(const Json& body, const ReferredItems& referred) {
  FULMEN_API_ASSIGN(const Fields fields, Fields::Of(body));
  FULMEN_API_ASSIGN(ResponsesRequest request, ReadShared(fields, referred));
  Generation& generation = request.generation;
  FULMEN_API_ASSIGN(generation.max_tokens,
                    fields.Integer("max_output_tokens", 1, std::numeric_limits<int32_t>::max()));
  FULMEN_API_ASSIGN(generation.sampling.temperature, fields.Number("temperature", 0, 2));
  FULMEN_API_ASSIGN(generation.sampling.top_p, fields.Number("top_p", 0, 1));
  FULMEN_API_TRY(ReadIncluded(fields, request));
  FULMEN_API_ASSIGN(request.stream, fields.Bool("stream", false));
  FULMEN_API_ASSIGN(request.store, fields.Bool("store", true));
  FULMEN_API_TRY(CheckMetadata(fields));
  FULMEN_API_TRY(fields.Object("reasoning"));
  request.echo = EchoOf(fields);
  return request;
}

ApiResult<Generation> ReadResponsesPrompt(const Json& body, const ReferredItems& referred) {
  FULMEN_API_ASSIGN(const Fields fields, Fields::Of(body));
  FULMEN_API_ASSIGN(ResponsesRequest request, ReadShared(fields, referred));
  return std::move(request.generation);
}

}  // namespace fulmen
