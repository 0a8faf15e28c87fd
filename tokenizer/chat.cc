#include "tokenizer/chat.h"

#include <array>
#include <utility>

#include "base/printable.h"
#include "base/utf8.h"
#include "tokenizer/chat_messages.h"
#include "tokenizer/python_json.h"
#include "tokenizer/unicode_classes.h"

namespace fulmen {
namespace {

using Role = ChatMessage::Role;
using Kind = ChatPart::Kind;

constexpr std::array<std::pair<ChatFormat, std::string_view>, 4> kNames = {{
    {ChatFormat::kText01, "text-01"},
    {ChatFormat::kVl01, "vl-01"},
    {ChatFormat::kM1, "m1"},
    {ChatFormat::kM1LlamaCpp, "m1-llama-cpp"},
}};

constexpr const char* kEndMarker = "<end_of_sentence>";
constexpr const char* kEnd = "<end_of_sentence>\n";
constexpr const char* kSystem = "<beginning_of_sentence>system ai_setting=assistant\n";
constexpr const char* kUser = "<beginning_of_sentence>user name=user\n";
constexpr const char* kAssistant = "<beginning_of_sentence>ai name=assistant\n";
constexpr const char* kTools =
    "<beginning_of_sentence>system tool_setting=tools\n"
    "You are provided with these tools:\n<tools>\n";
constexpr const char* kToolsHelp =
    "</tools>\n\n"
    "If you need to call tools, please respond with <tool_calls></tool_calls> XML tags, and "
    "provide tool-name and json-object of arguments, following the format below:\n<tool_calls>\n";
constexpr const char* kToolsHelpEnd = "\n...\n</tool_calls><end_of_sentence>\n";
constexpr const char* kToolResult = "<beginning_of_sentence>tool name=tools\n";
constexpr const char* kLlamaCppSystem =
    "You are a helpful assistant created by Minimax based on MiniMax-M1 model.";

// Python's str.strip().
std::string Strip(std::string_view text) {
  const auto is_space = [](uint32_t code) {
    const CharClass c = UnicodeClasses()[code];
    return c == CharClass::kSpace || c == CharClass::kNewline || (code >= 0x1C && code <= 0x1F);
  };
  const char* end = text.data() + text.size();
  const char* first = end;
  const char* last = end;
  for (const char* p = text.data(); p != end;) {
    const Utf8Char c = DecodeUtf8(p, end);
    if (!(c.kind == Utf8Char::Kind::kValid && is_space(c.code))) {
      if (first == end) first = p;
      last = p + c.bytes;
    }
    p += c.bytes;
  }
  return std::string(first, last);
}

constexpr std::string_view kImage = "<image>";

// Renders one request; each format is one method.
class Formatter {
 public:
  Formatter(ChatFormat format, const ChatRequest& request) : format_(format), request_(request) {}

  Status Render() {
    const bool m1 = format_ == ChatFormat::kM1 || format_ == ChatFormat::kM1LlamaCpp;
    if (format_ == ChatFormat::kM1) FULMEN_TRY(M1Head());
    if (format_ == ChatFormat::kM1LlamaCpp) FULMEN_TRY(LlamaCppHead());
    for (size_t i = 0; i < request_.messages.size(); ++i) {
      FULMEN_TRY(Message(i, request_.messages[i]));
    }
    if (!m1 && request_.tools) {
      for (const std::string& tool : *request_.tools) {
        Own("<beginning_of_sentence>system function_setting=functions\n");
        Foreign(tool);
        Own(kEnd);
      }
    }
    if (request_.add_generation_prompt) Own(kAssistant);
    return {};
  }

  std::vector<PromptPiece> Take() && { return std::move(pieces_); }

 private:
  // The template's own words, and those of the assistant.
  void Own(std::string text) { Add(std::move(text), true); }
  // What a caller supplies.
  void Foreign(std::string text) { Add(std::move(text), false); }
  void Add(std::string text, bool trusted) {
    // An assistant may have written the marker of an image, and only images have one.
    if (trusted && format_ == ChatFormat::kVl01 && text != kImage) {
      trusted = text.find(kImage) == std::string::npos;
    }
    if (!text.empty()) pieces_.push_back({std::move(text), trusted});
  }

  Status Message(size_t index, const ChatMessage& message) {
    switch (message.role) {
      case Role::kSystem:
        if (format_ == ChatFormat::kM1 || format_ == ChatFormat::kM1LlamaCpp) return {};
        return Turn(kSystem, index, message);
      case Role::kUser:
        return Turn(kUser, index, message);
      case Role::kAssistant:
        Assistant(message);
        return {};
      case Role::kTool:
        if (format_ == ChatFormat::kM1) return M1ToolResult(index, message);
        if (format_ == ChatFormat::kM1LlamaCpp) return LlamaCppToolResult(index, message);
        return FunctionResult(index, message);
    }
    return {};
  }

  // A system or user turn.
  Status Turn(const char* head, size_t index, const ChatMessage& message) {
    Own(head);
    if (format_ == ChatFormat::kVl01) {
      TextAndImages(message, false);
    } else if (format_ == ChatFormat::kM1LlamaCpp) {
      for (const ChatPart& part : message.parts) {
        if (part.kind == Kind::kText) Foreign(Strip(part.text));
      }
    } else {
      FULMEN_ASSIGN(std::string text, FirstText(index, message));
      Foreign(std::move(text));
    }
    Own(kEnd);
    return {};
  }

  void Assistant(const ChatMessage& message) {
    Own(kAssistant);
    const size_t first = pieces_.size();
    if (format_ == ChatFormat::kM1LlamaCpp && !message.calls.empty()) {
      Own(M1Calls(message.calls));
    } else if (!message.calls.empty() && !HasText(message)) {
      // The other templates have no words for calls: they stand as the model writes them.
      const bool m1 = format_ == ChatFormat::kM1;
      Own(m1 ? M1Calls(message.calls) : FunctionCalls(message.calls));
    } else if (format_ == ChatFormat::kVl01) {
      TextAndImages(message, true);
    } else {
      const bool strip = format_ == ChatFormat::kM1LlamaCpp;
      for (const ChatPart& part : message.parts) {
        if (part.kind == Kind::kText) Own(strip ? Strip(part.text) : part.text);
      }
    }
    Own(kEndMarker);
    for (size_t i = first; i < pieces_.size(); ++i) pieces_[i].in_loss = true;
    Own("\n");
  }

  void TextAndImages(const ChatMessage& message, bool trusted) {
    for (const ChatPart& part : message.parts) {
      if (part.kind == Kind::kImage) Own(std::string(kImage));
      if (part.kind == Kind::kText) Add(part.text, trusted);
    }
  }

  Status FunctionResult(size_t index, const ChatMessage& message) {
    FULMEN_ASSIGN(std::string name, ResultName(index, message, ""));
    FULMEN_ASSIGN(std::string text, FirstText(index, message));
    Own("<beginning_of_sentence>system function_response=functions\n{\"name\": \"");
    Foreign(std::move(name));
    Own("\", \"response\": ");
    Foreign(std::move(text));
    Own("}");
    Own(kEnd);
    return {};
  }

  Status M1ToolResult(size_t index, const ChatMessage& message) {
    Own(kToolResult);
    for (size_t i = 0; i < message.parts.size(); ++i) {
      const ChatPart& part = message.parts[i];
      if (part.kind == Kind::kImage) return NoImage(PartName(index, i));
      FULMEN_ASSIGN(std::string name, ResultName(index, message, part.name));
      NamedResult(std::move(name), part.text);
    }
    Own(kEnd);
    return {};
  }

  Status LlamaCppToolResult(size_t index, const ChatMessage& message) {
    Own(kToolResult);
    for (size_t i = 0; i < message.parts.size(); ++i) {
      const ChatPart& part = message.parts[i];
      if (part.kind == Kind::kImage) return NoImage(PartName(index, i));
      if (part.kind == Kind::kUntyped) {
        if (!part.name.empty()) NamedResult(part.name, part.text);
        continue;
      }
      Own("tool result: ");
      Foreign(part.text);
      Own("\n\n");
    }
    Own(kEnd);
    return {};
  }

  void NamedResult(std::string name, const std::string& text) {
    Own("tool name: ");
    Foreign(std::move(name));
    Own("\ntool result: ");
    Foreign(text);
    Own("\n\n");
  }

  Status M1Head() {
    Own("<begin_of_document>");
    std::string system;
    for (size_t i = 0; i < request_.messages.size(); ++i) {
      if (request_.messages[i].role != Role::kSystem) continue;
      FULMEN_ASSIGN(const std::string text, FirstText(i, request_.messages[i]));
      system += text;
    }
    SystemBlock(std::move(system));
    if (request_.tools && !request_.tools->empty()) {
      M1Tools("{name: <tool-name-1>, arguments: <args-json-object-1>}");
    }
    return {};
  }

  // Only a first message is a system message to this template.
  Status LlamaCppHead() {
    Own("<begin_of_document>");
    if (request_.messages[0].role == Role::kSystem) {
      FULMEN_ASSIGN(const std::string text, FirstText(0, request_.messages[0]));
      SystemBlock(Strip(text));
    } else {
      SystemBlock(kLlamaCppSystem);
    }
    if (request_.tools) M1Tools("{\"name\": <tool-name>, \"arguments\": <args-json-object>}");
    return {};
  }

  void SystemBlock(std::string system) {
    if (system.empty()) return;
    Own(kSystem);
    Foreign(std::move(system));
    Own(kEnd);
  }

  void M1Tools(const char* example) {
    Own(kTools);
    for (const std::string& tool : *request_.tools) {
      Foreign(tool);
      Own("\n");
    }
    Own(std::string(kToolsHelp) + example + kToolsHelpEnd);
  }

  static std::string M1Calls(const std::vector<ToolCall>& calls) {
    std::string text = "<tool_calls>\n";
    for (const ToolCall& call : calls) {
      text += "{\"name\": \"" + call.name + "\", \"arguments\": " + call.arguments + "}\n";
    }
    return text + "</tool_calls>";
  }

  static std::string FunctionCalls(const std::vector<ToolCall>& calls) {
    std::string text = "<function_call>```typescript\n";
    for (const ToolCall& call : calls) {
      text += "functions." + call.name + "(" + call.arguments + ")\n";
    }
    return text + "```";
  }

  static bool HasText(const ChatMessage& message) {
    for (const ChatPart& part : message.parts) {
      if (!part.text.empty()) return true;
    }
    return false;
  }

  // Some templates show the first part only.
  Result<std::string> FirstText(size_t index, const ChatMessage& message) const {
    if (message.parts.empty()) {
      return Fail(ErrorCode::kInvalidArgument, "{}.content: a text part is expected, found none",
                  MessageName(index));
    }
    if (message.parts[0].kind == Kind::kImage) {
      FULMEN_TRY(NoImage(PartName(index, 0)));
    }
    return message.parts[0].text;
  }

  Status NoImage(const std::string& where) const {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: a text part is expected here by the chat format {}, found an image", where,
                ChatFormatName(format_));
  }

  Result<std::string> ResultName(size_t index, const ChatMessage& message,
                                 const std::string& part_name) const {
    const std::string& name = part_name.empty() ? message.tool_name : part_name;
    if (!name.empty()) return name;
    return Fail(ErrorCode::kInvalidArgument,
                "{}: the chat format {} needs the name of the tool whose result this is: 'name', "
                "or the 'tool_call_id' of an earlier call",
                MessageName(index), ChatFormatName(format_));
  }

  ChatFormat format_;
  const ChatRequest& request_;
  std::vector<PromptPiece> pieces_;
};

// Encodes pieces one after the other. The text between two markers is one string to the tokenizer,
// in as many parts as ids() is asked for within it.
class PieceEncoder {
 public:
  // `within_text`: text that was encoded before goes on.
  PieceEncoder(const Tokenizer& tokenizer, bool within_text)
      : tokenizer_(tokenizer), within_text_(within_text) {}

  void Add(const PromptPiece& piece) {
    size_t done = 0;
    if (piece.trusted) {
      for (const Tokenizer::Marker& marker : tokenizer_.FindMarkers(piece.text)) {
        pending_.append(piece.text, done, marker.begin - done);
        EncodePending();
        ids_.push_back(marker.id);
        within_text_ = false;
        done = marker.end;
      }
    }
    pending_.append(piece.text, done);
  }

  // Of all pieces so far.
  const std::vector<int32_t>& ids() {
    EncodePending();
    return ids_;
  }

 private:
  void EncodePending() {
    if (pending_.empty()) return;
    const std::vector<int32_t> plain =
        tokenizer_.Encode(pending_, Tokenizer::Markers::kPlain, within_text_);
    ids_.insert(ids_.end(), plain.begin(), plain.end());
    within_text_ = true;
    pending_.clear();
  }

  const Tokenizer& tokenizer_;
  bool within_text_;
  std::string pending_;
  std::vector<int32_t> ids_;
};

}  // namespace

std::string_view ChatFormatName(ChatFormat format) {
  for (const auto& [known, name] : kNames) {
    if (known == format) return name;
  }
  return "";
}

std::optional<ChatFormat> ChatFormatFromName(std::string_view name) {
  for (const auto& [format, known] : kNames) {
    if (known == name) return format;
  }
  return std::nullopt;
}

std::vector<std::string> ChatFormatNames() {
  std::vector<std::string> names;
  for (const auto& [format, name] : kNames) names.emplace_back(name);
  return names;
}

Result<std::optional<ChatFormat>> DetectChatFormat(std::string_view chat_template) {
  const auto has = [chat_template](std::string_view text) {
    return chat_template.find(text) != std::string_view::npos;
  };
  if (chat_template.empty()) return std::optional<ChatFormat>();
  if (has("tool_setting=tools")) {
    const bool llama_cpp = has("name=MiniMax AI") || has("tool result: ' + message.content");
    return std::optional(llama_cpp ? ChatFormat::kM1LlamaCpp : ChatFormat::kM1);
  }
  if (has("<image>")) return std::optional(ChatFormat::kVl01);
  if (has("<beginning_of_sentence>")) return std::optional(ChatFormat::kText01);
  return Fail(ErrorCode::kUnsupported,
              "the model's chat template is none of the family's, it begins \"{}\"; name a format "
              "with --chat-format (text-01, vl-01, m1 or m1-llama-cpp)",
              Printable(chat_template, 60));
}

Result<std::vector<PromptPiece>> FormatChat(ChatFormat format, const Json& request) {
  FULMEN_ASSIGN(const ChatRequest checked, ReadChatRequest(request));
  Formatter formatter(format, checked);
  FULMEN_TRY(formatter.Render());
  return std::move(formatter).Take();
}

std::string ChatText(const std::vector<PromptPiece>& pieces) {
  std::string text;
  for (const PromptPiece& piece : pieces) text += piece.text;
  return text;
}

std::vector<int32_t> EncodeChat(const Tokenizer& tokenizer, std::span<const PromptPiece> pieces,
                                bool continues) {
  PieceEncoder encoder(tokenizer, continues);
  for (const PromptPiece& piece : pieces) encoder.Add(piece);
  return encoder.ids();
}

MaskedTokens EncodeWithLossMask(const Tokenizer& tokenizer, std::span<const PromptPiece> pieces) {
  PieceEncoder encoder(tokenizer, false);
  std::vector<uint8_t> loss_mask;
  for (size_t i = 0; i < pieces.size(); ++i) {
    encoder.Add(pieces[i]);
    if (i + 1 < pieces.size() && pieces[i + 1].in_loss == pieces[i].in_loss) continue;
    loss_mask.resize(encoder.ids().size(), pieces[i].in_loss ? 1 : 0);
  }
  return {encoder.ids(), std::move(loss_mask)};
}

}  // namespace fulmen
