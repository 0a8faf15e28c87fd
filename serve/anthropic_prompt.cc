#include "serve/anthropic_prompt.h"

#include <fmt/core.h>

#include <utility>

namespace fulmen {
namespace {

// Claude Code puts a line before its system text that differs from request to request: with it,
// nothing that was read before could be used again.
constexpr std::string_view kBillingHeader = "x-anthropic-billing-header:";

std::string ElementPath(const std::string& list, size_t index) {
  return fmt::format("{}[{}]", list, index);
}

tl::unexpected<ApiError> NoSuchBlock(const std::string& path, std::string_view type,
                                     std::string_view known) {
  constexpr std::string_view kOfTheApi[] = {"image", "document", "search_result",
                                            "container_upload"};
  for (const std::string_view there : kOfTheApi) {
    if (type != there) continue;
    return ApiFail(ApiErrorKind::kUnsupported, path, "blocks of type {} are not supported", type);
  }
  return ApiFail(ApiErrorKind::kInvalid, path + ".type", "expected {}, found \"{}\"", known, type);
}

}  // namespace

ApiResult<void> AnthropicTools::Add(const Json& tool, const std::string& path) {
  FULMEN_API_ASSIGN(const Fields fields, Fields::Of(tool, path));
  FULMEN_API_ASSIGN(const std::string name, fields.NeededString("name"));
  if (name.empty()) return fields.Wrong("name", "a name");
  FULMEN_API_ASSIGN(const std::optional<std::string> type, fields.String("type"));
  FULMEN_API_ASSIGN(const std::optional<Fields> schema, fields.Object("input_schema"));
  if (!schema && type && *type != "custom") {
    return ApiFail(ApiErrorKind::kUnsupported, path + ".type",
                   "the tool {} of type {} runs on Anthropic's servers, or needs a model that was "
                   "trained for it",
                   name, *type);
  }
  if (!schema) return fields.Wrong("input_schema", "an object");
  FULMEN_API_ASSIGN(const bool strict, fields.Bool("strict", false));
  if (strict) {
    strict_.insert_or_assign(name, path + ".input_schema");
  } else {
    strict_.erase(name);
  }
  FULMEN_API_ASSIGN(const bool deferred, fields.Bool("defer_loading", false));
  FULMEN_API_ASSIGN(const std::optional<std::string> description, fields.String("description"));
  Json function = {{"name", name}};
  if (description) function["description"] = *description;
  function["parameters"] = fields.At("input_schema");
  by_name_.insert_or_assign(name, tools_.size());
  tools_.push_back({{{"type", "function"}, {"function", std::move(function)}}, !deferred});
  return {};
}

ApiResult<void> AnthropicTools::Show(const std::string& name, bool shown, const std::string& path) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) {
    return ApiFail(ApiErrorKind::kInvalid, path, "expected the name of a tool, found \"{}\"", name);
  }
  tools_[found->second].shown = shown;
  return {};
}

Json AnthropicTools::Shown() const {
  Json shown = Json::array();
  for (const Tool& tool : tools_) {
    if (tool.shown) shown.push_back(tool.function);
  }
  return shown.empty() ? Json() : shown;
}

ApiResult<void> AnthropicPrompt::AddSystem(const Json& content, const std::string& path) {
  if (content.is_null()) return {};
  FULMEN_API_TRY(Enter(Role::kSystem, path));
  return AddContent(content, path);
}

ApiResult<void> AnthropicPrompt::AddMessage(const Json& message, const std::string& path) {
  FULMEN_API_ASSIGN(const Fields fields, Fields::Of(message, path));
  FULMEN_API_ASSIGN(const std::string role, fields.NeededString("role"));
  // Agents have been seen to send "ctx" and "msg" for what a user's turn holds.
  const bool user = role == "user" || role == "ctx" || role == "msg";
  const bool system = role == "system" || role == "developer";
  if (!user && !system && role != "assistant") {
    return fields.Wrong("role", "user, assistant or system");
  }
  FULMEN_API_TRY(Enter(user ? Role::kUser : (system ? Role::kSystem : Role::kAssistant), path));
  return AddContent(fields.At("content"), fields.PathOf("content"));
}

ApiResult<ChatPrompt> AnthropicPrompt::Finish() {
  FULMEN_API_TRY(CheckAnswered(path_));
  ChatPrompt prompt;
  if (role_ == Role::kAssistant) {
    if (ends_with_thinking_) {
      return ApiFail(ApiErrorKind::kInvalid, path_ + ".content",
                     "expected text at the end of a turn to go on with, found thinking");
    }
    prompt.add_generation_prompt = false;
    prompt.continue_final = true;
  }
  CloseTurn();
  prompt.messages = std::move(messages_);
  return prompt;
}

// A system message may stand between calls and their results.
ApiResult<void> AnthropicPrompt::Enter(Role role, const std::string& path) {
  if (role != role_) {
    if (role == Role::kAssistant) FULMEN_API_TRY(CheckAnswered(path));
    CloseTurn();
    role_ = role;
  }
  path_ = path;
  return {};
}

ApiResult<void> AnthropicPrompt::CheckAnswered(const std::string& path) const {
  if (unanswered_.empty()) return {};
  return ApiFail(ApiErrorKind::kInvalid, path,
                 "expected a tool_result for each tool_use at the beginning of the next turn, "
                 "found none for \"{}\"",
                 *unanswered_.begin());
}

ApiResult<void> AnthropicPrompt::AddContent(const Json& content, const std::string& path) {
  if (content.is_string()) return AddText(content.get<std::string>(), path);
  if (!content.is_array()) {
    return ApiFail(ApiErrorKind::kInvalid, path, "expected a string or a list of blocks, found {}",
                   content.is_null() ? "nothing" : fulmen::Shown(content));
  }
  for (size_t i = 0; i < content.size(); ++i) {
    FULMEN_API_TRY(AddBlock(content[i], ElementPath(path, i)));
  }
  return {};
}

ApiResult<void> AnthropicPrompt::AddBlock(const Json& block, const std::string& path) {
  FULMEN_API_ASSIGN(const Fields fields, Fields::Of(block, path));
  FULMEN_API_ASSIGN(const std::string type, fields.NeededString("type"));
  if (type == "text") {
    FULMEN_API_ASSIGN(const std::string text, fields.NeededString("text"));
    return AddText(text, path);
  }
  if (role_ != Role::kAssistant) {
    if (type == "tool_addition" || type == "tool_removal") {
      return ChangeTool(fields, type == "tool_addition");
    }
    if (type == "tool_result" && role_ == Role::kUser) return AddToolResult(fields);
    if (type == "image" && role_ == Role::kUser) {
      FULMEN_API_TRY(CheckAnswered(path));
      return AddImage(fields, path);
    }
    return NoSuchBlock(path, type, "text, image, tool_result, tool_addition or tool_removal");
  }
  if (type == "tool_use") return AddToolUse(fields);
  if (type == "thinking") {
    FULMEN_API_ASSIGN(const std::optional<std::string> thinking, fields.String("thinking"));
    FULMEN_API_ASSIGN(const std::optional<std::string> signature, fields.String("signature"));
    thinking_ += thinking.value_or("");
    handle_.Note(signature.value_or(""));
    ends_with_thinking_ = true;
    return {};
  }
  if (type == "redacted_thinking") return {};  // another's, which nobody here can read
  return NoSuchBlock(path, type, "text, tool_use, thinking or redacted_thinking");
}

// The assistant's texts are what it wrote, so nothing comes between them; those of others are
// blocks of their own.
ApiResult<void> AnthropicPrompt::AddText(const std::string& text, const std::string& path) {
  if (role_ == Role::kSystem && text.starts_with(kBillingHeader)) return {};
  if (role_ == Role::kUser) FULMEN_API_TRY(CheckAnswered(path));
  ends_with_thinking_ = false;
  content_.AddText(text, role_ == Role::kAssistant ? "" : "\n");
  return {};
}

ApiResult<void> AnthropicPrompt::AddImage(const Fields& block, const std::string& path) {
  FULMEN_API_ASSIGN(const Fields source, Fields::Of(block.At("source"), block.PathOf("source")));
  FULMEN_API_ASSIGN(const std::string type, source.NeededString("type"));
  if (type == "url") {
    FULMEN_API_ASSIGN(std::string url, source.NeededString("url"));
    content_.AddImage(std::move(url), path);
    return {};
  }
  if (type != "base64") {
    return ApiFail(ApiErrorKind::kUnsupported, source.PathOf("type"),
                   "images come in the request (base64) or from a URL (url), found {}",
                   fulmen::Shown(type));
  }
  FULMEN_API_ASSIGN(const std::string media_type, source.NeededString("media_type"));
  FULMEN_API_ASSIGN(const std::string data, source.NeededString("data"));
  content_.AddImage(fmt::format("data:{};base64,{}", media_type, data), path);
  return {};
}

ApiResult<void> AnthropicPrompt::AddToolUse(const Fields& block) {
  FULMEN_API_ASSIGN(const std::string id, block.NeededString("id"));
  FULMEN_API_ASSIGN(const std::string name, block.NeededString("name"));
  FULMEN_API_ASSIGN(const std::optional<Fields> input, block.Object("input"));
  if (!unanswered_.insert(id).second) {
    return ApiFail(ApiErrorKind::kInvalid, block.PathOf("id"),
                   "expected an id that no other tool_use of the turn has, found \"{}\"", id);
  }
  calls_.push_back(
      {{"id", id},
       {"type", "function"},
       {"function",
        {{"name", name}, {"arguments", input ? DumpJson(block.At("input")) : std::string("{}")}}}});
  handle_.Note(id);
  ends_with_thinking_ = false;
  return {};
}

ApiResult<void> AnthropicPrompt::AddToolResult(const Fields& block) {
  FULMEN_API_ASSIGN(const std::string id, block.NeededString("tool_use_id"));
  if (unanswered_.erase(id) == 0) {
    return ApiFail(ApiErrorKind::kInvalid, block.PathOf("tool_use_id"),
                   "expected the id of a tool_use of the turn before, found \"{}\"", id);
  }
  FULMEN_API_ASSIGN(const bool is_error, block.Bool("is_error", false));
  FULMEN_API_ASSIGN(const std::string text, ResultText(block));
  messages_.push_back(
      {{"role", "tool"}, {"tool_call_id", id}, {"content", is_error ? "Error: " + text : text}});
  return {};
}

ApiResult<std::string> AnthropicPrompt::ResultText(const Fields& block) {
  const Json& content = block.At("content");
  if (content.is_null()) return std::string();
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) return block.Wrong("content", "a string or a list of blocks");
  std::string all;
  for (size_t i = 0; i < content.size(); ++i) {
    const std::string path = block.PathOf("content", i);
    FULMEN_API_ASSIGN(const Fields part, Fields::Of(content[i], path));
    FULMEN_API_ASSIGN(const std::string type, part.NeededString("type"));
    if (i > 0 && type != "image") all += '\n';
    if (type == "text") {
      FULMEN_API_ASSIGN(const std::string text, part.NeededString("text"));
      all += text;
    } else if (type == "tool_reference") {
      FULMEN_API_ASSIGN(const std::string name, part.NeededString("tool_name"));
      FULMEN_API_TRY(tools_.Show(name, true, part.PathOf("tool_name")));
      all += fmt::format("The tool {} is available.", name);
    } else if (type == "image") {
      // No chat format has a place for it among results: it stands in the user's text behind them.
      FULMEN_API_TRY(AddImage(part, path));
    } else {
      return NoSuchBlock(path, type, "text, image or tool_reference");
    }
  }
  return all;
}

ApiResult<void> AnthropicPrompt::ChangeTool(const Fields& block, bool add) {
  FULMEN_API_ASSIGN(const std::optional<Fields> tool, block.Object("tool"));
  if (!tool) return block.Wrong("tool", "an object");
  if (add && tool->Has("definition")) {
    return tools_.Add(tool->At("definition"), tool->PathOf("definition"));
  }
  const std::string_view field = tool->Has("tool_name") ? "tool_name" : "name";
  FULMEN_API_ASSIGN(const std::string name, tool->NeededString(field));
  return tools_.Show(name, add, tool->PathOf(field));
}

void AnthropicPrompt::CloseTurn() {
  const bool empty = content_.empty();
  Json content = content_.Take();
  if (role_ != Role::kAssistant) {
    const char* const role = role_ == Role::kUser ? "user" : "system";
    if (!empty) messages_.push_back({{"role", role}, {"content", std::move(content)}});
    return;
  }
  Json message = {{"role", "assistant"}, {"content", std::move(content)}};
  if (!thinking_.empty()) message["reasoning_content"] = std::exchange(thinking_, "");
  if (!calls_.empty()) message["tool_calls"] = std::exchange(calls_, Json::array());
  if (const auto handle = handle_.value()) message["handle"] = *handle;
  messages_.push_back(std::move(message));
  handle_ = AgreedHandle();
  ends_with_thinking_ = false;
}

}  // namespace fulmen
