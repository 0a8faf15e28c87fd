#include "call/call_error.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/parse_number.h"

namespace fulmen {
namespace {

using Kind = CallError::Kind;

// What a body says, whoever's shape it has.
struct Said {
  std::string message;
  std::string type;  // "authentication_error", "insufficient_quota", ...; of several, all
  int64_t code = 0;  // MiniMax's
};

int64_t NumberOf(const Json& value) {
  return IntegerIn(value, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max())
      .value_or(0);
}

// MiniMax puts its number behind the message: "invalid api key (2049)".
int64_t CodeBehind(std::string_view message) {
  if (!message.ends_with(')')) return 0;
  const size_t open = message.rfind('(');
  if (open == std::string_view::npos) return 0;
  const std::string_view digits = message.substr(open + 1, message.size() - open - 2);
  return ParseNumber<int64_t>(digits, {.low = 1000, .high = 9999}).value_or(0);
}

Said Read(const Json& body) {
  Said said;
  const Json& error = Member(body, "error");
  if (error.is_object()) {
    said.message = TextOf(Member(error, "message"));
    said.type = fmt::format("{} {}", TextOf(Member(error, "type")), TextOf(Member(error, "code")));
  } else {
    said.message = TextOf(error);
  }
  if (said.message.empty()) said.message = TextOf(Member(body, "message"));
  said.code = CodeBehind(said.message);
  const Json& base = Member(body, "base_resp");
  if (const int64_t code = NumberOf(Member(base, "status_code")); code != 0) {
    said.code = code;
    said.message = fmt::format("{} ({})", TextOf(Member(base, "status_msg")), code);
  }
  return said;
}

template <size_t N>
bool IsAmong(int64_t code, const std::array<int64_t, N>& codes) {
  return std::ranges::find(codes, code) != codes.end();
}

CallError Judge(int status, const Said& said) {
  constexpr std::array<int64_t, 2> kKeyCodes = {1004, 2049};
  constexpr std::array<int64_t, 2> kEmptyCodes = {1008, 2056};  // waiting a little does not help
  constexpr std::array<int64_t, 4> kBusyCodes = {1002, 1039, 1041, 2045};
  constexpr std::array<int64_t, 5> kBrokenCodes = {1000, 1001, 1013, 1024, 1033};
  const auto has = [&](std::string_view word) { return said.type.find(word) != std::string::npos; };
  CallError judged;
  const bool empty = status == 402 || IsAmong(said.code, kEmptyCodes) || has("insufficient_") ||
                     has("billing_error");
  if (IsAmong(said.code, kKeyCodes) || status == 401 || status == 403 || has("authentication") ||
      has("authorized_error") || has("permission_error") || has("invalid_api_key")) {
    judged.kind = Kind::kKey;
  } else if (empty) {
    judged.kind = Kind::kLimit;
  } else if (status == 429 || IsAmong(said.code, kBusyCodes) || has("rate_limit")) {
    judged.kind = Kind::kLimit;
    judged.transient = true;
  } else {
    judged.transient = status == 408 || status == 409 || status >= 500 ||
                       IsAmong(said.code, kBrokenCodes) || has("overloaded");
  }
  return judged;
}

}  // namespace

CallError ErrorOfStatus(int status, std::string_view body) {
  const Result<Json> json = ParseJson(body, "the answer");
  const Said said = json ? Read(*json) : Said();
  CallError error = Judge(status, said);
  error.error = {ErrorCode::kUnavailable,
                 said.message.empty()
                     ? fmt::format("the server answered with status {}", status)
                     : fmt::format("the server answered with status {}: {}", status, said.message)};
  return error;
}

std::optional<CallError> ErrorInBody(const Json& body) {
  const Json& error = Member(body, "error");
  const Said said = Read(body);
  const bool minimax = NumberOf(Member(Member(body, "base_resp"), "status_code")) != 0;
  if (!minimax && !error.is_object() && !error.is_string()) return std::nullopt;
  CallError judged = Judge(200, said);
  judged.error = {ErrorCode::kUnavailable,
                  fmt::format("the server answered with an error: {}",
                              said.message.empty() ? Shown(body) : said.message)};
  return judged;
}

CallError Unreadable(std::string message) {
  return {.error = {ErrorCode::kCorrupt, std::move(message)}};
}

}  // namespace fulmen
