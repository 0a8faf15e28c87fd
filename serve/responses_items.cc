#include "serve/responses_items.h"

#include <utility>

namespace fulmen {
namespace {

// A message's or an output's parts. Texts are one to the model, an assistant's `own` as they are.
ApiResult<void> ReadParts(const Fields& item, std::string_view field, bool own,
                          ContentParts& parts) {
  const Json& content = item.At(field);
  const std::string_view between = own ? "" : "\n";
  if (content.is_string()) {
    parts.AddText(content.get_ref<const std::string&>(), between);
    return {};
  }
  if (!content.is_array()) return item.Wrong(field, "a string or a list of parts");
  for (size_t i = 0; i < content.size(); ++i) {
    const std::string path = item.PathOf(field, i);
    FULMEN_API_ASSIGN(const Fields part, Fields::Of(content[i], path));
    FULMEN_API_ASSIGN(const std::string type, part.NeededString("type"));
    if (type == "input_image" && !own) {
      FULMEN_API_ASSIGN(std::string url, ImageUrlOf(part));
      parts.AddImage(std::move(url), path);
      continue;
    }
    if (type == "input_image" || type == "input_file" || type == "input_audio") {
      return ApiFail(ApiErrorKind::kUnsupported, path, "parts of type {} are not supported{}", type,
                     own ? " here" : "");
    }
    const bool refusal = type == "refusal";
    if (!refusal && type != "input_text" && type != "output_text" && type != "text") {
      return part.Wrong("type", "input_text, input_image, output_text or refusal");
    }
    FULMEN_API_ASSIGN(const std::string text, part.NeededString(refusal ? "refusal" : "text"));
    parts.AddText(text, between);
  }
  return {};
}

}  // namespace

ApiResult<void> ResponsesItems::Add(const Json& item, const std::string& path) {
  FULMEN_API_ASSIGN(const Fields fields, Fields::Of(item, path));
  FULMEN_API_ASSIGN(const std::optional<std::string> type, fields.String("type"));
  if (!type || *type == "message") return AddMessage(fields);
  if (*type == "reasoning") return AddReasoning(fields);
  if (*type == "function_call") return AddCall(fields);
  if (*type == "function_call_output") return AddCallOutput(fields);
  return ApiFail(ApiErrorKind::kUnsupported, fields.PathOf("type"),
                 "items of type \"{}\" are not supported: known are message, reasoning, "
                 "function_call, function_call_output and item_reference",
                 *type);
}

void ResponsesItems::AddInstructions(const std::string& text) {
  Enter(Role::kSystem);
  content_.AddText(text, "\n");
}

Json ResponsesItems::TakeMessages() {
  CloseTurn();
  ShowResultImages();
  return std::exchange(messages_, Json::array());
}

ApiResult<void> ResponsesItems::AddMessage(const Fields& item) {
  FULMEN_API_ASSIGN(const std::string role, item.NeededString("role"));
  const bool system = role == "system" || role == "developer";
  const bool assistant = role == "assistant";
  if (!system && !assistant && role != "user") {
    return item.Wrong("role", "user, assistant, system or developer");
  }
  if (assistant) FULMEN_API_TRY(NoteId(item, "id"));
  Enter(system ? Role::kSystem : (assistant ? Role::kAssistant : Role::kUser));
  if (system && !content_.empty()) content_.AddText("", "\n");  // a blank line between
  return ReadParts(item, "content", assistant, content_);
}

// Users' messages stay apart, and so do system texts between them.
void ResponsesItems::Enter(Role role) {
  const bool goes_on =
      role == role_ && (role == Role::kAssistant || (role == Role::kSystem && messages_.empty()));
  if (!goes_on) CloseTurn();
  if (role == Role::kUser) {
    content_.AddImages(std::exchange(result_images_, ContentParts()));
  } else {
    ShowResultImages();
  }
  role_ = role;
}

void ResponsesItems::ShowResultImages() {
  if (result_images_.empty()) return;
  messages_.push_back({{"role", "user"}, {"content", result_images_.Take()}});
}

ApiResult<void> ResponsesItems::AddReasoning(const Fields& item) {
  FULMEN_API_TRY(NoteId(item, "id"));
  FULMEN_API_TRY(NoteId(item, "encrypted_content"));
  Enter(Role::kAssistant);
  FULMEN_API_ASSIGN(const Json* content, item.List("content"));
  for (size_t i = 0; i < content->size(); ++i) {
    FULMEN_API_ASSIGN(const Fields part, Fields::Of((*content)[i], item.PathOf("content", i)));
    FULMEN_API_ASSIGN(const std::string text, part.NeededString("text"));
    reasoning_ += text;
  }
  return {};
}

ApiResult<void> ResponsesItems::AddCall(const Fields& item) {
  FULMEN_API_ASSIGN(const std::string id, item.NeededString("call_id"));
  FULMEN_API_ASSIGN(const std::string name, item.NeededString("name"));
  FULMEN_API_ASSIGN(std::string arguments, item.NeededString("arguments"));
  if (arguments.empty()) arguments = "{}";
  if (const auto object = ParseJson(arguments, "arguments"); !object || !object->is_object()) {
    return item.Wrong("arguments", "the text of a JSON object");
  }
  FULMEN_API_TRY(NoteId(item, "id"));
  FULMEN_API_TRY(NoteId(item, "call_id"));
  Enter(Role::kAssistant);
  calls_made_.insert(id);
  calls_.push_back({{"id", id},
                    {"type", "function"},
                    {"function", {{"name", name}, {"arguments", std::move(arguments)}}}});
  return {};
}

ApiResult<void> ResponsesItems::AddCallOutput(const Fields& item) {
  FULMEN_API_ASSIGN(const std::string id, item.NeededString("call_id"));
  if (!calls_made_.contains(id)) {
    return item.Wrong("call_id", "the call_id of a function_call before it");
  }
  ContentParts parts;
  FULMEN_API_TRY(ReadParts(item, "output", false, parts));
  CloseTurn();
  std::string text = TakeText(parts, result_images_);
  messages_.push_back({{"role", "tool"}, {"tool_call_id", id}, {"content", std::move(text)}});
  return {};
}

// An item of another turn of the assistant's does not go on with the one under way.
ApiResult<void> ResponsesItems::NoteId(const Fields& item, std::string_view field) {
  FULMEN_API_ASSIGN(const std::optional<std::string> id, item.String(field));
  std::optional<std::string> handle = HandleIn(id.value_or(""));
  if (!handle) return {};
  if (role_ != Role::kAssistant || (handle_ && *handle_ != *handle)) CloseTurn();
  role_ = Role::kAssistant;
  handle_ = std::move(handle);
  return {};
}

void ResponsesItems::CloseTurn() {
  const Role role = std::exchange(role_, Role::kNone);
  if (role == Role::kNone) return;
  const char* const name = role == Role::kAssistant ? "assistant"
                           : role == Role::kUser    ? "user"
                                                    : "system";
  Json message = {{"role", name}, {"content", content_.Take()}};
  if (!reasoning_.empty()) message["reasoning_content"] = std::exchange(reasoning_, "");
  if (!calls_.empty()) message["tool_calls"] = std::exchange(calls_, Json::array());
  if (handle_) message["handle"] = *std::exchange(handle_, std::nullopt);
  messages_.push_back(std::move(message));
}

}  // namespace fulmen
