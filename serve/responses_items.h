// Items of OpenAI's Responses API as messages of its chat API (tokenizer/chat_messages.h).
#pragma once

#include <optional>
#include <set>
#include <string>

#include "base/json.h"
#include "serve/api_error.h"
#include "serve/content_parts.h"
#include "serve/fields.h"
#include "serve/turn_ids.h"

namespace fulmen {

// Takes items one after the other. System and developer texts at the beginning become one message;
// what an assistant thought, said and called between two messages of others becomes one turn.
class ResponsesItems {
 public:
  void AddInstructions(const std::string& text);
  // An item, or a message without the type that says so. References are no items.
  ApiResult<void> Add(const Json& item, const std::string& path);
  Json TakeMessages();

 private:
  enum class Role : uint8_t { kNone, kSystem, kUser, kAssistant };

  ApiResult<void> AddMessage(const Fields& item);
  ApiResult<void> AddReasoning(const Fields& item);
  ApiResult<void> AddCall(const Fields& item);
  ApiResult<void> AddCallOutput(const Fields& item);
  ApiResult<void> NoteId(const Fields& item, std::string_view field);
  void Enter(Role role);
  void ShowResultImages();
  void CloseTurn();

  Json messages_ = Json::array();
  ContentParts result_images_;  // of the results just read, for the user's message behind them
  std::set<std::string> calls_made_;  // their call_id

  // The turn under way.
  Role role_ = Role::kNone;
  ContentParts content_;
  std::string reasoning_;
  Json calls_ = Json::array();
  std::optional<std::string> handle_;
};

}  // namespace fulmen
