#include "call/request.h"

#include <utility>

namespace fulmen {
namespace {

constexpr int64_t kAnthropicTokens = 4096;  // which that API has to be told

// A message without what only Anthropic's API takes back.
Json ChatMessage(const Json& message) {
  Json plain = message;
  plain.erase("reasoning_content");
  plain.erase("signature");
  return plain;
}

Json ChatBody(Api api, const CallRequest& request) {
  Json messages = Json::array();
  if (!request.system.empty()) {
    messages.push_back({{"role", "system"}, {"content", request.system}});
  }
  for (const Json& message : request.messages) messages.push_back(ChatMessage(message));
  Json body = {{"model", request.model}, {"messages", std::move(messages)}};
  if (request.max_tokens) body["max_completion_tokens"] = *request.max_tokens;
  if (request.tools.is_array()) {
    body["tools"] = request.tools;
    if (api == Api::kMinimax) {  // which requires it
      for (Json& tool : body["tools"]) {
        if (!tool["function"].contains("description")) tool["function"]["description"] = "";
      }
    }
  }
  if (!request.schema.is_null()) {
    Json format = {{"name", "answer"}, {"schema", request.schema}};
    if (api == Api::kOpenai) format["strict"] = true;
    body["response_format"] = {{"type", "json_schema"}, {"json_schema", std::move(format)}};
  }
  body["stream"] = request.stream;
  if (request.stream) body["stream_options"] = {{"include_usage", true}};
  return body;
}

// "data:image/png;base64,AAAA" in its parts, or the URL.
Json AnthropicImage(std::string_view url) {
  constexpr std::string_view kData = "data:";
  constexpr std::string_view kBase64 = ";base64,";
  const size_t mark = url.find(kBase64);
  Json source = {{"type", "url"}, {"url", url}};
  if (url.starts_with(kData) && mark != std::string::npos) {
    source = {{"type", "base64"},
              {"media_type", url.substr(kData.size(), mark - kData.size())},
              {"data", url.substr(mark + kBase64.size())}};
  }
  return {{"type", "image"}, {"source", std::move(source)}};
}

Json TextBlock(std::string_view text) { return {{"type", "text"}, {"text", text}}; }

Json UserBlocks(const Json& content) {
  if (!content.is_array()) return TextOf(content);
  Json blocks = Json::array();
  for (const Json& part : content) {
    const Json& image = Member(part, "image_url");
    blocks.push_back(image.is_object() ? AnthropicImage(TextOf(Member(image, "url")))
                                       : TextBlock(TextOf(Member(part, "text"))));
  }
  return blocks;
}

Json AssistantBlocks(const Json& message) {
  Json blocks = Json::array();
  if (const std::string signature(TextOf(Member(message, "signature"))); !signature.empty()) {
    blocks.push_back({{"type", "thinking"},
                      {"thinking", TextOf(Member(message, "reasoning_content"))},
                      {"signature", signature}});
  }
  const std::string text(TextOf(Member(message, "content")));
  if (!text.empty()) blocks.push_back(TextBlock(text));
  const Json& calls = Member(message, "tool_calls");
  for (const Json& call : calls.is_array() ? calls : Json::array()) {
    const Json& function = Member(call, "function");
    const Result<Json> input = ParseJson(TextOf(Member(function, "arguments")), "arguments");
    blocks.push_back({{"type", "tool_use"},
                      {"id", Member(call, "id")},
                      {"name", Member(function, "name")},
                      {"input", input && input->is_object() ? *input : Json::object()}});
  }
  return blocks;
}

Json AnthropicMessages(const Json& messages) {
  Json turns = Json::array();
  bool results = false;  // the last turn holds nothing else, and takes the next one in
  for (const Json& message : messages) {
    const std::string role(TextOf(Member(message, "role")));
    if (role == "tool") {
      if (!std::exchange(results, true)) {
        turns.push_back({{"role", "user"}, {"content", Json::array()}});
      }
      turns.back()["content"].push_back({{"type", "tool_result"},
                                         {"tool_use_id", Member(message, "tool_call_id")},
                                         {"content", Member(message, "content")}});
      continue;
    }
    results = false;
    turns.push_back({{"role", role},
                     {"content", role == "assistant" ? AssistantBlocks(message)
                                                     : UserBlocks(Member(message, "content"))}});
  }
  return turns;
}

Json AnthropicBody(const CallRequest& request) {
  Json body = {{"model", request.model},
               {"max_tokens", request.max_tokens.value_or(kAnthropicTokens)}};
  if (!request.system.empty()) body["system"] = request.system;
  body["messages"] = AnthropicMessages(request.messages);
  if (request.tools.is_array()) {
    for (const Json& tool : request.tools) {
      const Json& function = Member(tool, "function");
      Json plain = {{"name", Member(function, "name")}};
      if (function.contains("description")) plain["description"] = function["description"];
      plain["input_schema"] = Member(function, "parameters");
      body["tools"].push_back(std::move(plain));
    }
  }
  if (!request.schema.is_null()) {
    body["output_config"] = {{"format", {{"type", "json_schema"}, {"schema", request.schema}}}};
  }
  body["stream"] = request.stream;
  return body;
}

}  // namespace

Json RequestBody(Api api, const CallRequest& request) {
  Json body = api == Api::kAnthropic ? AnthropicBody(request) : ChatBody(api, request);
  for (const auto& [name, value] : request.fields.items()) body[name] = value;
  return body;
}

Json UserMessage(const std::string& text, const std::vector<std::string>& images) {
  if (images.empty()) return {{"role", "user"}, {"content", text}};
  Json parts = Json::array();
  for (const std::string& url : images) {
    parts.push_back({{"type", "image_url"}, {"image_url", {{"url", url}}}});
  }
  if (!text.empty()) parts.push_back(TextBlock(text));
  return {{"role", "user"}, {"content", std::move(parts)}};
}

Json AssistantMessage(const Reply& reply) {
  Json message = {{"role", "assistant"}, {"content", reply.text}};
  if (!reply.reasoning.empty()) message["reasoning_content"] = reply.reasoning;
  if (!reply.signature.empty()) message["signature"] = reply.signature;
  for (const ReplyCall& call : reply.calls) {
    message["tool_calls"].push_back(
        {{"id", call.id},
         {"type", "function"},
         {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  return message;
}

Json ToolMessage(const ReplyCall& call, const std::string& result) {
  return {{"role", "tool"}, {"tool_call_id", call.id}, {"name", call.name}, {"content", result}};
}

Result<Json> ReadTools(const Json& tools, const std::string& where) {
  if (!tools.is_array() || tools.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "{} should be a list of tools, found {}", where,
                Shown(tools));
  }
  Json read = Json::array();
  for (const Json& tool : tools) {
    const Json& function = Member(tool, "function").is_object() ? Member(tool, "function") : tool;
    const std::string name(TextOf(Member(function, "name")));
    if (name.empty()) {
      return Fail(ErrorCode::kInvalidArgument, "{}: a tool should have a name, found {}", where,
                  Shown(tool));
    }
    Json plain = {{"name", name}};
    if (const Json& about = Member(function, "description"); about.is_string()) {
      plain["description"] = about;
    }
    const Json& schema = Member(function, "parameters").is_null() ? Member(function, "input_schema")
                                                                  : Member(function, "parameters");
    if (!schema.is_null() && !schema.is_object()) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: the parameters of {} should be a JSON Schema, found {}", where, name,
                  Shown(schema));
    }
    plain["parameters"] =
        schema.is_object() ? schema : Json{{"type", "object"}, {"properties", Json::object()}};
    read.push_back({{"type", "function"}, {"function", std::move(plain)}});
  }
  return read;
}

}  // namespace fulmen
