#include "tokenizer/chat_messages.h"

#include <map>

#include "tokenizer/python_json.h"

namespace fulmen {
namespace {

constexpr const char* kRoles =
    "system, user, assistant and tool (or function, or ipython, for a tool's result)";

using CallNames = std::map<std::string, std::string>;  // call id -> function name

Status CheckType(bool right, const char* expected, const Json& found, const std::string& where) {
  if (right) return {};
  return Fail(ErrorCode::kInvalidArgument, "{}: {} is expected, found {}", where, expected,
              found.is_null() ? "nothing" : Shown(found));
}

Result<std::string> ReadString(const Json& object, const char* key, const std::string& where) {
  const Json& value = Member(object, key);
  FULMEN_TRY(CheckType(value.is_string(), "a string", value, where + "." + key));
  return value.get<std::string>();
}

// "" when absent or null.
Result<std::string> ReadOptionalString(const Json& object, const char* key,
                                       const std::string& where) {
  if (Member(object, key).is_null()) return std::string();
  return ReadString(object, key, where);
}

Result<ChatMessage::Role> ReadRole(const Json& message, const std::string& where) {
  FULMEN_ASSIGN(const std::string role, ReadString(message, "role", where));
  if (role == "system") return ChatMessage::Role::kSystem;
  if (role == "user") return ChatMessage::Role::kUser;
  if (role == "assistant") return ChatMessage::Role::kAssistant;
  if (role == "tool" || role == "function" || role == "ipython") return ChatMessage::Role::kTool;
  return Fail(ErrorCode::kInvalidArgument, "{}.role: unknown role '{}'; known are {}", where, role,
              kRoles);
}

Result<ChatPart> ReadPart(const Json& json, const std::string& where) {
  FULMEN_TRY(CheckType(json.is_object(), "an object", json, where));
  FULMEN_ASSIGN(const std::string type, ReadOptionalString(json, "type", where));
  ChatPart part;
  FULMEN_ASSIGN(part.name, ReadOptionalString(json, "name", where));
  if (type == "image" || type == "image_url") {
    part.kind = ChatPart::Kind::kImage;
    return part;
  }
  if (type != "text" && !type.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}.type: unknown part type '{}'; known are text, image and image_url", where,
                type);
  }
  part.kind = type.empty() ? ChatPart::Kind::kUntyped : ChatPart::Kind::kText;
  FULMEN_ASSIGN(part.text, ReadString(json, "text", where));
  return part;
}

Status ReadContent(const Json& content, size_t index, ChatMessage& message) {
  const std::string where = MessageName(index) + ".content";
  if (content.is_string()) {
    message.parts.push_back({ChatPart::Kind::kText, content.get<std::string>(), ""});
    return {};
  }
  // An assistant that only calls tools has no content in the OpenAI API.
  if (content.is_null() && !message.calls.empty()) return {};
  FULMEN_TRY(CheckType(content.is_array(), "a string or a list of parts", content, where));
  for (size_t i = 0; i < content.size(); ++i) {
    FULMEN_ASSIGN(ChatPart part, ReadPart(content[i], PartName(index, i)));
    message.parts.push_back(std::move(part));
  }
  return {};
}

// `arguments` is an object, or in the OpenAI API the text of one.
Result<std::string> ReadArguments(const Json& function, const std::string& where) {
  const Json& arguments = Member(function, "arguments");
  if (!arguments.is_string()) {
    FULMEN_TRY(CheckType(arguments.is_object(), "an object", arguments, where));
    return PythonJson(arguments);
  }
  FULMEN_ASSIGN(const Json parsed, ParseJson(arguments.get_ref<const std::string&>(), where));
  FULMEN_TRY(CheckType(parsed.is_object(), "the text of a JSON object", parsed, where));
  return PythonJson(parsed);
}

Status ReadCalls(const Json& calls, const std::string& where, CallNames& names,
                 ChatMessage& message) {
  if (calls.is_null()) return {};
  FULMEN_TRY(CheckType(calls.is_array(), "a list", calls, where));
  if (!calls.empty() && message.role != ChatMessage::Role::kAssistant) {
    return Fail(ErrorCode::kInvalidArgument, "{}: only an assistant calls tools", where);
  }
  for (size_t i = 0; i < calls.size(); ++i) {
    const std::string call_where = fmt::format("{}[{}]", where, i);
    FULMEN_TRY(CheckType(calls[i].is_object(), "an object", calls[i], call_where));
    const Json& function = Member(calls[i], "function");
    FULMEN_TRY(CheckType(function.is_object(), "an object", function, call_where + ".function"));
    ToolCall call;
    FULMEN_ASSIGN(call.name, ReadString(function, "name", call_where + ".function"));
    FULMEN_ASSIGN(call.arguments, ReadArguments(function, call_where + ".function.arguments"));
    FULMEN_ASSIGN(const std::string id, ReadOptionalString(calls[i], "id", call_where));
    if (!id.empty()) names[id] = call.name;
    message.calls.push_back(std::move(call));
  }
  return {};
}

Result<ChatMessage> ReadMessage(const Json& json, size_t index, CallNames& names) {
  const std::string where = MessageName(index);
  FULMEN_TRY(CheckType(json.is_object(), "an object", json, where));
  ChatMessage message;
  FULMEN_ASSIGN(message.role, ReadRole(json, where));
  FULMEN_TRY(ReadCalls(Member(json, "tool_calls"), where + ".tool_calls", names, message));
  FULMEN_TRY(ReadContent(Member(json, "content"), index, message));
  FULMEN_ASSIGN(message.tool_name, ReadOptionalString(json, "name", where));
  FULMEN_ASSIGN(const std::string call_id, ReadOptionalString(json, "tool_call_id", where));
  if (const auto call = names.find(call_id); message.tool_name.empty() && call != names.end()) {
    message.tool_name = call->second;
  }
  return message;
}

}  // namespace

std::string MessageName(size_t message) { return fmt::format("messages[{}]", message); }

std::string PartName(size_t message, size_t part) {
  return fmt::format("messages[{}].content[{}]", message, part);
}

Result<ChatRequest> ReadChatRequest(const Json& json) {
  FULMEN_TRY(CheckType(json.is_object(), "an object", json, "the chat request"));
  ChatRequest request;
  const Json& messages = Member(json, "messages");
  FULMEN_TRY(CheckType(messages.is_array(), "a list", messages, "messages"));
  if (messages.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "messages: at least one is expected, found none");
  }
  CallNames names;
  for (size_t i = 0; i < messages.size(); ++i) {
    FULMEN_ASSIGN(ChatMessage message, ReadMessage(messages[i], i, names));
    request.messages.push_back(std::move(message));
  }
  if (const Json& tools = Member(json, "tools"); !tools.is_null()) {
    FULMEN_TRY(CheckType(tools.is_array(), "a list", tools, "tools"));
    request.tools.emplace();
    for (size_t i = 0; i < tools.size(); ++i) {
      FULMEN_TRY(
          CheckType(tools[i].is_object(), "an object", tools[i], fmt::format("tools[{}]", i)));
      request.tools->push_back(PythonJson(tools[i]));
    }
  }
  if (const Json& add = Member(json, "add_generation_prompt"); !add.is_null()) {
    FULMEN_TRY(CheckType(add.is_boolean(), "true or false", add, "add_generation_prompt"));
    request.add_generation_prompt = add.get<bool>();
  }
  return request;
}

}  // namespace fulmen
