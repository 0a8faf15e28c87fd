#include "serve/chat_messages_in.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "serve/content_parts.h"
#include "serve/fields.h"
#include "serve/request_json.h"
#include "serve/turn_ids.h"

namespace fulmen {
namespace {

constexpr size_t kMostName = 64;

// The value of a member that is there, moved out of it.
Json Take(Json& object, std::string_view name) {
  const auto found = object.find(name);
  return found == object.end() ? Json() : std::move(*found);
}

void Set(Json& object, const char* name, Json value) {
  object.get_ref<Json::object_t&>().emplace_back(name, std::move(value));
}

// Adding members to one that has room for them copies none.
Json ObjectFor(size_t members) {
  Json object = Json::object();
  object.get_ref<Json::object_t&>().reserve(members);
  return object;
}

ApiResult<std::string> FunctionName(const Fields& function) {
  FULMEN_API_ASSIGN(std::string name, function.NeededString("name"));
  const bool good =
      !name.empty() && name.size() <= kMostName && std::ranges::all_of(name, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '_' || c == '-';
      });
  if (good) return name;
  return function.Wrong("name", "1 to 64 letters, digits, underscores and dashes");
}

// The beginning of what an assistant says: <think>, thoughts, </think>, as AnswerParser reads it.
std::string TakeThoughts(std::string& content) {
  constexpr std::string_view kSpace = " \t\r\n";
  constexpr std::string_view kOpen = "<think>";
  constexpr std::string_view kClose = "</think>";
  const size_t open = content.find_first_not_of(kSpace);
  if (open == std::string::npos || content.compare(open, kOpen.size(), kOpen) != 0) return "";
  const size_t begin = open + kOpen.size();
  const size_t close = content.find(kClose, begin);
  if (close == std::string::npos) return "";
  std::string_view thoughts = std::string_view(content).substr(begin, close - begin);
  if (thoughts.starts_with('\n')) thoughts.remove_prefix(1);
  if (thoughts.ends_with('\n')) thoughts.remove_suffix(1);
  std::string taken(thoughts);
  content.erase(0,
                std::min(content.find_first_not_of(kSpace, close + kClose.size()), content.size()));
  return taken;
}

class MessageReader {
 public:
  explicit MessageReader(const MessageRules& rules) : rules_(rules) {}

  ApiResult<void> Add(Json& message, std::string path, bool is_last) {
    FULMEN_API_ASSIGN(const Fields fields, Fields::Of(message, std::move(path)));
    FULMEN_API_ASSIGN(const std::string role, fields.NeededString("role"));
    FULMEN_API_TRY(fields.String("name"));
    if (role != "tool" && role != "function" && role != "user") ShowResultImages();
    if (role == "assistant") return AddAssistant(message, fields, is_last);
    if (is_last && rules_.continues_final) {
      return fields.Wrong("role", "\"assistant\", for a last message to be continued");
    }
    if (role == "user") return AddText(message, fields, "user");
    if (role == "system" || role == "developer") {
      if (rules_.skips_named_system && !fields.Has("content") && fields.Has("name")) return {};
      return AddText(message, fields, "system");
    }
    if (role == "tool" || role == "function") return AddResult(message, fields, role == "tool");
    return fields.Wrong("role", "system, developer, user, assistant, tool or function");
  }

  Json Take() && {
    ShowResultImages();
    return std::move(messages_);
  }

 private:
  ApiResult<void> AddText(Json& message, const Fields& fields, const char* role) {
    Json out = ObjectFor(2);
    Set(out, "role", role);
    ContentParts content = std::exchange(result_images_, ContentParts());
    FULMEN_API_TRY(Content(message, fields, "\n", content));
    Set(out, "content", content.Take());
    messages_.push_back(std::move(out));
    return {};
  }

  // Images among the results of calls have no place there in any chat format: they stand in the
  // user's message behind these, or make one.
  void ShowResultImages() {
    if (result_images_.empty()) return;
    Json out = ObjectFor(2);
    Set(out, "role", "user");
    Set(out, "content", result_images_.Take());
    messages_.push_back(std::move(out));
  }

  // Text alone.
  ApiResult<std::string> Text(Json& message, const Fields& fields, std::string_view between) {
    ContentParts content;
    FULMEN_API_TRY(Content(message, fields, between, content));
    if (!content.has_images()) return content.Take().get<std::string>();
    return ApiFail(ApiErrorKind::kInvalid, fields.PathOf("content"),
                   "an assistant's message holds text alone, found an image");
  }

  ApiResult<void> AddAssistant(Json& message, const Fields& fields, bool is_last) {
    if (fields.Has("audio")) {
      return ApiFail(ApiErrorKind::kUnsupported, fields.PathOf("audio"),
                     "spoken answers are not supported");
    }
    const bool continues = is_last && rules_.continues_final;
    Json out = ObjectFor(5);
    Set(out, "role", "assistant");
    FULMEN_API_ASSIGN(std::string reasoning, Reasoning(fields));
    std::string content;
    if (fields.Has("content")) {
      FULMEN_API_ASSIGN(content, Text(message, fields, ""));
    } else {
      FULMEN_API_ASSIGN(const auto refusal, fields.String("refusal"));
      content = refusal.value_or("");
    }
    // The beginning of an answer stays as it is: what is in its tags is gone on with.
    if (reasoning.empty() && !continues) reasoning = TakeThoughts(content);
    if (!reasoning.empty()) Set(out, "reasoning_content", std::move(reasoning));
    std::optional<std::string> handle;
    FULMEN_API_ASSIGN(Json calls, Calls(fields, handle));
    if (!calls.empty() && continues) {
      return ApiFail(ApiErrorKind::kInvalid, fields.PathOf("tool_calls"),
                     "expected text alone in a message to be continued, found calls");
    }
    if (handle) Set(out, "handle", *std::move(handle));
    const bool only_calls = content.empty() && !calls.empty();
    if (!calls.empty()) Set(out, "tool_calls", std::move(calls));
    Set(out, "content", only_calls ? Json() : Json(std::move(content)));
    messages_.push_back(std::move(out));
    return {};
  }

  ApiResult<void> AddResult(Json& message, const Fields& fields, bool is_tool) {
    Json out = ObjectFor(4);
    Set(out, "role", "tool");
    FULMEN_API_ASSIGN(std::optional<std::string> name, fields.String("name"));
    FULMEN_API_ASSIGN(std::optional<std::string> id, fields.String("tool_call_id"));
    if (!is_tool && !name) return fields.Wrong("name", "the name of the function");
    if (id && !name && !ids_.contains(*id)) {
      return fields.Wrong("tool_call_id", "the id of an earlier call");
    }
    if (!id && !name) {
      if (rules_.needs_tool_call_id) return fields.Wrong("tool_call_id", "a string");
      if (unanswered_.empty()) return fields.Wrong("tool_call_id", "a call that this answers");
      name = std::move(unanswered_.front());
      unanswered_.pop_front();
    }
    if (name) Set(out, "name", *std::move(name));
    if (id) Set(out, "tool_call_id", *std::move(id));
    ContentParts content;
    FULMEN_API_TRY(Content(message, fields, "\n", content));
    Set(out, "content", TakeText(content, result_images_));
    messages_.push_back(std::move(out));
    return {};
  }

  // A string, or a list of parts.
  ApiResult<void> Content(Json& message, const Fields& fields, std::string_view between,
                          ContentParts& parts) {
    Json content = fulmen::Take(message, "content");
    if (content.is_string()) {
      parts.AddText(content.get_ref<const std::string&>(), between);
      return {};
    }
    if (!content.is_array() || content.empty()) {
      message["content"] = std::move(content);
      return fields.Wrong("content", "a string or a list of parts");
    }
    for (size_t i = 0; i < content.size(); ++i) {
      FULMEN_API_TRY(Part(content[i], fields.PathOf("content", i), between, parts));
    }
    return {};
  }

  ApiResult<void> Part(const Json& part, const std::string& path, std::string_view between,
                       ContentParts& parts) const {
    FULMEN_API_ASSIGN(const Fields fields, Fields::Of(part, path));
    FULMEN_API_ASSIGN(const std::string type, fields.NeededString("type"));
    if (type == "text" || type == "refusal") {
      FULMEN_API_ASSIGN(const std::string text, fields.NeededString(type));
      parts.AddText(text, between);
      return {};
    }
    if (type == "image_url") {
      FULMEN_API_ASSIGN(std::string url, ImageUrlOf(fields));
      parts.AddImage(std::move(url), path);
      return {};
    }
    constexpr std::string_view kOthers[] = {"image",     "input_image", "input_audio",
                                            "audio_url", "video_url",   "file"};
    if (std::ranges::find(kOthers, type) == std::end(kOthers)) {
      return fields.Wrong("type", "text, image_url or refusal");
    }
    const std::string model = rules_.model.empty() ? "" : fmt::format(" {}", rules_.model);
    return ApiFail(ApiErrorKind::kUnsupported, fields.PathOf("type"),
                   "the model{} reads text and parts of the type image_url, found one of the type "
                   "{}",
                   model, type);
  }

  static ApiResult<std::string> Reasoning(const Fields& fields) {
    for (const char* name : {"reasoning_content", "reasoning", "reasoning_text"}) {
      FULMEN_API_ASSIGN(std::optional<std::string> text, fields.String(name));
      if (text && !text->empty()) return *std::move(text);
    }
    FULMEN_API_ASSIGN(const Json* details, fields.List("reasoning_details"));
    std::string joined;
    for (const Json& detail : *details) {
      const Json& text = Member(detail, "text");  // others are encrypted
      if (text.is_string()) joined += text.get_ref<const std::string&>();
    }
    return joined;
  }

  // Those of `tool_calls`, or the one of `function_call`, as it was called once.
  ApiResult<Json> Calls(const Fields& fields, std::optional<std::string>& handle) {
    FULMEN_API_ASSIGN(const Json* calls, fields.List("tool_calls"));
    Json out = Json::array();
    unanswered_.clear();
    AgreedHandle agreed;
    for (size_t i = 0; i < calls->size(); ++i) {
      FULMEN_API_ASSIGN(const Fields call, Fields::Of((*calls)[i], fields.PathOf("tool_calls", i)));
      FULMEN_API_ASSIGN(const auto type, call.String("type"));
      if (type && *type != "function") {
        return ApiFail(ApiErrorKind::kUnsupported, call.PathOf("type"),
                       "calls are of the type function, found {}", Shown(*type));
      }
      FULMEN_API_ASSIGN(std::optional<std::string> id, call.String("id"));
      if (!id && rules_.needs_tool_call_id) return call.Wrong("id", "a string");
      Json one = ObjectFor(3);
      if (id) {
        agreed.Note(*id);
        ids_.insert(*id);
        Set(one, "id", *std::move(id));
      }
      Set(one, "type", "function");
      FULMEN_API_ASSIGN(Json function, CalledFunction(call, "function"));
      Set(one, "function", std::move(function));
      out.push_back(std::move(one));
    }
    handle = agreed.value();
    if (out.empty() && fields.Has("function_call")) {
      Json one = ObjectFor(2);
      Set(one, "type", "function");
      FULMEN_API_ASSIGN(Json function, CalledFunction(fields, "function_call"));
      Set(one, "function", std::move(function));
      out.push_back(std::move(one));
    }
    return out;
  }

  // What is called is not held to the rules for names: a model may make one up.
  ApiResult<Json> CalledFunction(const Fields& parent, std::string_view field) {
    FULMEN_API_ASSIGN(const Fields function, Fields::Of(parent.At(field), parent.PathOf(field)));
    FULMEN_API_ASSIGN(std::string name, function.NeededString("name"));
    if (name.empty()) return function.Wrong("name", "the name of a function");
    unanswered_.push_back(name);
    Json arguments = function.At("arguments");
    if (arguments.is_string()) {
      std::string& text = arguments.get_ref<std::string&>();
      if (text.find_first_not_of(" \t\r\n") == std::string::npos) text = "{}";
      ApiResult<Json> parsed = ParseRequestJson(text);
      if (!parsed) return function.Wrong("arguments", "the text of a JSON object");
      arguments = *std::move(parsed);
    }
    if (!arguments.is_object()) return function.Wrong("arguments", "the text of a JSON object");
    Json out = ObjectFor(2);
    Set(out, "name", std::move(name));
    Set(out, "arguments", std::move(arguments));
    return out;
  }

  const MessageRules& rules_;
  Json messages_ = Json::array();
  ContentParts result_images_;          // of the results just read
  std::set<std::string> ids_;           // of all calls so far
  std::deque<std::string> unanswered_;  // names of the functions called last
};

ApiResult<Json> ReadTool(Json& tool, std::string path, const ToolRules& rules,
                         StrictTools& strict_tools) {
  FULMEN_API_ASSIGN(const Fields fields, Fields::Of(tool, std::move(path)));
  FULMEN_API_ASSIGN(const std::string type, fields.NeededString("type"));
  if (type != "function") {
    return ApiFail(ApiErrorKind::kUnsupported, fields.PathOf("type"),
                   "tools are of the type function, found {}", Shown(type));
  }
  FULMEN_API_ASSIGN(const Fields function,
                    Fields::Of(fields.At("function"), fields.PathOf("function")));
  FULMEN_API_ASSIGN(const std::string name, FunctionName(function));
  FULMEN_API_ASSIGN(const auto description, function.String("description"));
  if (rules.needs_description && !description) return function.Wrong("description", "a string");
  FULMEN_API_TRY(function.Object("parameters"));
  FULMEN_API_ASSIGN(const bool strict, function.Bool("strict", false));
  if (strict) strict_tools.emplace(name, function.PathOf("parameters"));
  Json inner = ObjectFor(3);
  Set(inner, "name", name);
  if (description) Set(inner, "description", *description);
  if (function.Has("parameters")) {
    Set(inner, "parameters", Take(*tool.find("function"), "parameters"));
  }
  Json out = ObjectFor(2);
  Set(out, "type", "function");
  Set(out, "function", std::move(inner));
  return out;
}

}  // namespace

ApiResult<Json> ReadMessages(Json& body, const MessageRules& rules) {
  Json messages = Take(body, "messages");
  if (!messages.is_array() || messages.empty()) {
    return ApiFail(ApiErrorKind::kInvalid, "messages",
                   "expected a list of at least one message, found {}",
                   messages.is_null() ? "nothing" : Shown(messages));
  }
  MessageReader reader(rules);
  for (size_t i = 0; i < messages.size(); ++i) {
    const bool is_last = i + 1 == messages.size();
    FULMEN_API_TRY(reader.Add(messages[i], fmt::format("messages[{}]", i), is_last));
  }
  return std::move(reader).Take();
}

ApiResult<Json> ReadTools(Json& body, const ToolRules& rules, StrictTools& strict) {
  Json tools = Take(body, "tools");
  if (tools.is_null()) return tools;
  if (!tools.is_array()) {
    return ApiFail(ApiErrorKind::kInvalid, "tools", "expected a list, found {}", Shown(tools));
  }
  Json out = Json::array();
  for (size_t i = 0; i < tools.size(); ++i) {
    FULMEN_API_ASSIGN(Json tool, ReadTool(tools[i], fmt::format("tools[{}]", i), rules, strict));
    out.push_back(std::move(tool));
  }
  return out.empty() ? Json() : std::move(out);
}

}  // namespace fulmen
