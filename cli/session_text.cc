#include "cli/session_text.h"

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <optional>
#include <string_view>

#include "base/json.h"
#include "base/printable.h"
#include "cli/terminal_text.h"

namespace fulmen {
namespace {

// "2026-11-26 19:01:05 UTC"; "-" for none.
std::string Time(std::optional<int64_t> seconds) {
  constexpr int64_t kLatest = 253'402'300'799;  // of the years with four digits
  if (!seconds || *seconds < 0 || *seconds > kLatest) return "-";
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(static_cast<std::time_t>(*seconds)));
}

// A heading, and a text with every line of it indented.
std::string Block(const std::string& heading, std::string_view text) {
  std::string block = heading + "\n";
  while (!text.empty()) {
    const size_t length = text.find('\n');
    block += fmt::format("  {}\n", ForTerminal(text.substr(0, length)));
    text.remove_prefix(length == std::string_view::npos ? text.size() : length + 1);
  }
  return block;
}

std::string AsText(const Json& value) {
  if (value.is_null()) return "";
  if (value.is_string()) return value.get<std::string>();
  return DumpJson(value);
}

// Texts one below the other; of what is no text, its kind.
std::string ContentText(const Json& content) {
  if (!content.is_array()) return AsText(content);
  std::string text;
  for (const Json& part : content) {
    const Json& words = Member(part, "text");
    text += words.is_string() ? AsText(words) : fmt::format("[{}]", AsText(Member(part, "type")));
    text += '\n';
  }
  return text;
}

std::string MessageText(const Json& message) {
  std::string role = Printable(AsText(Member(message, "role")));
  if (const Json& name = Member(message, "name"); name.is_string()) {
    role += fmt::format(" {}", Printable(AsText(name)));
  }
  std::string text;
  if (const Json& reasoning = Member(message, "reasoning_content"); !reasoning.is_null()) {
    text += Block(role + " (reasoning)", AsText(reasoning));
  }
  const Json& calls = Member(message, "tool_calls");
  const Json& content = Member(message, "content");
  if (!content.is_null() || !calls.is_array()) text += Block(role, ContentText(content));
  if (!calls.is_array()) return text;
  for (const Json& call : calls) {
    const Json& function = Member(call, "function");
    text += Block(fmt::format("{} (calls {})", role, Printable(AsText(Member(function, "name")))),
                  AsText(Member(function, "arguments")));
  }
  return text;
}

}  // namespace

std::string SessionTable(const std::vector<SessionSummary>& sessions, bool spaces) {
  if (sessions.empty()) return "";
  std::string table = fmt::format("{:>5}  {:>7}  {:<23}  {:<23}  {}\n", "TURNS", "TOKENS", "USED",
                                  "EXPIRES", spaces ? "NAMESPACE/NAME" : "NAME");
  for (const SessionSummary& session : sessions) {
    const std::string name = spaces ? session.space + "/" + session.name : session.name;
    table += fmt::format("{:>5}  {:>7}  {:<23}  {:<23}  {}{}\n", session.turns, session.tokens,
                         Time(session.used), Time(session.expires), Printable(name),
                         session.damaged ? " (damaged)" : "");
  }
  return table;
}

std::string ConversationText(const SavedSession& session) {
  std::string text;
  if (!session.system.empty()) text += Block("system", session.system);
  for (const Json& message : session.Messages()) text += MessageText(message);
  return text;
}

}  // namespace fulmen
