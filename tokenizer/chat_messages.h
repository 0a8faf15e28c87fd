// A chat request, checked and with its shapes made one: what the formats of chat.cc render.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace fulmen {

struct ChatPart {
  enum class Kind : uint8_t { kText, kImage, kUntyped };
  Kind kind;         // kUntyped: the part does not say; formats differ in what they make of it
  std::string text;  // of kText and kUntyped
  std::string name;  // of the tool whose result this is, or ""
};

struct ToolCall {
  std::string name;
  std::string arguments;  // JSON, as Python writes it
};

struct ChatMessage {
  enum class Role : uint8_t { kSystem, kUser, kAssistant, kTool };
  Role role;
  std::vector<ChatPart> parts;  // a string is one text part; empty when content was null
  std::vector<ToolCall> calls;  // of assistants
  std::string tool_name;        // of tool results, where the message or an earlier call tells it
};

struct ChatRequest {
  std::vector<ChatMessage> messages;
  std::optional<std::vector<std::string>> tools;  // each as Python's JSON; nullopt: none given
  bool add_generation_prompt = true;
};

// Errors name the message and field.
Result<ChatRequest> ReadChatRequest(const Json& json);

// "messages[3]", "messages[3].content[1]"
std::string MessageName(size_t message);
std::string PartName(size_t message, size_t part);

}  // namespace fulmen
