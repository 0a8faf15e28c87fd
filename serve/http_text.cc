#include "serve/http_text.h"

#include <algorithm>
#include <charconv>

#include "base/ascii.h"
#include "base/utf8.h"

namespace fulmen {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = LowerCase(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Takes what precedes `separator` off the front of `text`, and the separator.
std::string_view TakeUntil(std::string_view& text, char separator) {
  const size_t end = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

bool IsHostChar(char c) {
  const char lower = LowerCase(c);
  return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_';
}

bool IsAddressChar(char c) { return HexDigit(c) >= 0 || c == ':' || c == '.'; }

}  // namespace

std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = HexDigit(text[i + 1]);
      const int low = HexDigit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    if (c == '\0') return std::nullopt;
    decoded += c;
  }
  if (!IsUtf8(decoded)) return std::nullopt;
  return decoded;
}

std::string QueryValue(std::string_view query, std::string_view key) {
  while (!query.empty()) {
    std::string_view value = TakeUntil(query, '&');
    const std::string_view name = TakeUntil(value, '=');
    if (PercentDecode(name, true) == key) return PercentDecode(value, true).value_or("");
  }
  return "";
}

std::vector<std::pair<std::string, std::string>> QueryValues(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> values;
  while (!query.empty()) {
    std::string_view value = TakeUntil(query, '&');
    const auto name = PercentDecode(TakeUntil(value, '='), true);
    const auto decoded = PercentDecode(value, true);
    if (name && decoded) values.emplace_back(*name, *decoded);
  }
  return values;
}

ApiResult<HttpTarget> ParseHttpTarget(std::string_view target) {
  constexpr auto kInvalid = ApiErrorKind::kInvalid;
  HttpTarget parsed;
  if (target == "*") {
    parsed.raw_path = parsed.path = target;
    return parsed;
  }
  if (!target.starts_with('/')) {
    const size_t scheme = target.find("://");
    const std::string_view name = target.substr(0, std::min(scheme, target.size()));
    if (scheme == std::string_view::npos ||
        !(SameIgnoringCase(name, "http") || SameIgnoringCase(name, "https"))) {
      return ApiFail(kInvalid, "", "expected a path as the target of the request");
    }
    target.remove_prefix(scheme + 3);
    const size_t path = std::min(target.find_first_of("/?"), target.size());
    parsed.authority = target.substr(0, path);
    target.remove_prefix(path);
    if (!ParseAuthority(parsed.authority)) {
      return ApiFail(kInvalid, "", "expected the name of a host in the target of the request");
    }
  }
  if (target.find('#') != std::string_view::npos) {
    return ApiFail(kInvalid, "", "expected no fragment (#) in the target of the request");
  }
  const std::string_view raw_path = TakeUntil(target, '?');
  parsed.raw_path = raw_path.empty() ? "/" : raw_path;
  parsed.query = target;
  auto path = PercentDecode(parsed.raw_path);
  if (!path || !PercentDecode(parsed.query, true)) {
    return ApiFail(
        kInvalid, "",
        "expected UTF-8 without NUL, and escapes like %20, in the target of the request");
  }
  parsed.path = *std::move(path);
  return parsed;
}

std::optional<Authority> ParseAuthority(std::string_view text) {
  Authority authority;
  std::string_view host;
  if (text.starts_with('[')) {
    text.remove_prefix(1);
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    host = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (!std::all_of(host.begin(), host.end(), IsAddressChar)) return std::nullopt;
  } else {
    const size_t end = std::min(text.find(':'), text.size());
    host = text.substr(0, end);
    text.remove_prefix(end);
    if (!std::all_of(host.begin(), host.end(), IsHostChar)) return std::nullopt;
    if (host.ends_with('.')) host.remove_suffix(1);
  }
  if (host.empty()) return std::nullopt;
  authority.host = LowerCase(host);
  if (text.empty()) return authority;
  if (text.front() != ':') return std::nullopt;
  text.remove_prefix(1);
  if (text.empty()) return authority;
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  authority.port = port;
  return authority;
}

}  // namespace fulmen
