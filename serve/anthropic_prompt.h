// Messages and tools of Anthropic's API, in the shapes of OpenAI's (tokenizer/chat_messages.h).
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "serve/answer_rules.h"
#include "serve/api_error.h"
#include "serve/content_parts.h"
#include "serve/fields.h"
#include "serve/generation.h"
#include "serve/turn_ids.h"

namespace fulmen {

// Tools of a request. Some become known to the model only when a message names them.
class AnthropicTools {
 public:
  // An element of "tools", or the definition within a tool_addition.
  ApiResult<void> Add(const Json& tool, const std::string& path);
  // Whether the model is told of it from now on. Names that nobody defined are an error.
  ApiResult<void> Show(const std::string& name, bool shown, const std::string& path);
  // Those the model is told of; null when there are none.
  Json Shown() const;
  const StrictTools& strict() const { return strict_; }

 private:
  struct Tool {
    Json function;
    bool shown;
  };
  std::vector<Tool> tools_;
  std::map<std::string, size_t, std::less<>> by_name_;
  StrictTools strict_;
};

// Takes messages one after the other. Turns of one role that follow each other become one.
class AnthropicPrompt {
 public:
  explicit AnthropicPrompt(AnthropicTools& tools) : tools_(tools) {}

  // "system" of the request: a string or blocks.
  ApiResult<void> AddSystem(const Json& content, const std::string& path);
  ApiResult<void> AddMessage(const Json& message, const std::string& path);
  // The prompt without its tools. An assistant's turn at the end is one to go on with.
  ApiResult<ChatPrompt> Finish();

 private:
  enum class Role : uint8_t { kNone, kSystem, kUser, kAssistant };

  ApiResult<void> Enter(Role role, const std::string& path);
  ApiResult<void> AddContent(const Json& content, const std::string& path);
  ApiResult<void> AddBlock(const Json& block, const std::string& path);
  ApiResult<void> AddText(const std::string& text, const std::string& path);
  ApiResult<void> AddImage(const Fields& block, const std::string& path);
  ApiResult<void> AddToolUse(const Fields& block);
  ApiResult<void> AddToolResult(const Fields& block);
  ApiResult<std::string> ResultText(const Fields& block);
  ApiResult<void> ChangeTool(const Fields& block, bool add);
  ApiResult<void> CheckAnswered(const std::string& path) const;
  void CloseTurn();

  AnthropicTools& tools_;
  Json messages_ = Json::array();
  std::set<std::string> unanswered_;  // ids of tool_use blocks without a result yet

  // The turn under way.
  Role role_ = Role::kNone;
  std::string path_;  // of its last message
  ContentParts content_;
  std::string thinking_;
  bool ends_with_thinking_ = false;
  Json calls_ = Json::array();
  AgreedHandle handle_;
};

}  // namespace fulmen
