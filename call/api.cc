#include "call/api.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <iterator>

namespace fulmen {
namespace {

struct Facts {
  std::string_view name;
  std::string_view key;
  std::string_view url;
  std::string_view route;
};

constexpr std::array<Facts, std::size(kApis)> kFacts = {{
    {"minimax", "MINIMAX_API_KEY", "https://api.minimax.io", "/v1/text/chatcompletion_v2"},
    {"openai", "OPENAI_API_KEY", "https://api.openai.com", "/v1/chat/completions"},
    {"anthropic", "ANTHROPIC_API_KEY", "https://api.anthropic.com", "/v1/messages"},
}};

const Facts& FactsOf(Api api) { return kFacts.at(static_cast<size_t>(api)); }

// The authority of an address: host and port.
std::string_view AuthorityOf(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  return url.substr(0, url.find_first_of("/?#"));
}

// `url` with another path behind its own, whose /v1 or route is not said twice.
std::string WithPath(std::string_view url, std::string_view path, std::string_view route) {
  const size_t mark = std::min(url.find('?'), url.size());
  const std::string_view query = url.substr(mark);
  std::string_view base = url.substr(0, mark);
  while (base.ends_with('/')) base.remove_suffix(1);
  if (base.ends_with(route)) base.remove_suffix(route.size());
  if (base.ends_with("/v1")) base.remove_suffix(3);
  return fmt::format("{}{}{}", base, path, query);
}

}  // namespace

std::string_view ApiName(Api api) { return FactsOf(api).name; }
std::string_view ApiKeyVariable(Api api) { return FactsOf(api).key; }
std::string_view HostedUrl(Api api) { return FactsOf(api).url; }

std::optional<Api> ApiFromName(std::string_view name) {
  for (const Api api : kApis) {
    if (ApiName(api) == name) return api;
  }
  return std::nullopt;
}

std::vector<std::string> ApiNames() {
  std::vector<std::string> names;
  for (const Api api : kApis) names.emplace_back(ApiName(api));
  return names;
}

Api GuessApi(std::string_view url) {
  const std::string_view rest = url.substr(std::min(url.find("://"), url.size()));
  const auto has = [&](std::string_view word) { return rest.find(word) != std::string_view::npos; };
  if (has("anthropic") || has("/v1/messages")) return Api::kAnthropic;
  if (has("/chat/completions")) return Api::kOpenai;
  if (has("api.minimax") || has("/chatcompletion_v2")) return Api::kMinimax;
  return Api::kOpenai;
}

Result<std::string> CheckUrl(std::string_view url) {
  const bool http = url.starts_with("http://") || url.starts_with("https://");
  const std::string_view authority = AuthorityOf(url);
  if (!http || authority.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "should be an address as in http://127.0.0.1:8080, found \"{}\"", url);
  }
  if (authority.find('@') != std::string_view::npos) {
    return Fail(ErrorCode::kInvalidArgument,
                "should have no user and no password; a key has its own option");
  }
  if (std::ranges::any_of(url, [](unsigned char c) { return c <= ' ' || c == 0x7f || c == '#'; })) {
    return Fail(ErrorCode::kInvalidArgument, "should have no space and no #, found \"{}\"", url);
  }
  while (url.ends_with('/')) url.remove_suffix(1);
  return std::string(url);
}

std::string HostOf(std::string_view url) {
  const std::string_view authority = AuthorityOf(url);
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    return std::string(authority.substr(0, end == std::string_view::npos ? end : end + 1));
  }
  return std::string(authority.substr(0, authority.find(':')));
}

bool IsThisMachine(std::string_view url) {
  const std::string host = HostOf(url);
  const bool numbers = host.find_first_not_of("0123456789.") == std::string::npos;
  return host == "localhost" || host == "[::1]" || (numbers && host.starts_with("127."));
}

std::string ChatUrl(Api api, std::string_view url) {
  return WithPath(url, FactsOf(api).route, FactsOf(api).route);
}

std::string ModelsUrl(Api api, std::string_view url) {
  return WithPath(url, "/v1/models", FactsOf(api).route);
}

std::vector<std::string> RequestHeaders(Api api, std::string_view key) {
  std::vector<std::string> headers = {"Content-Type: application/json"};
  if (api == Api::kAnthropic) headers.emplace_back("anthropic-version: 2023-06-01");
  if (!key.empty()) {
    headers.push_back(
        fmt::format("{} {}", api == Api::kAnthropic ? "x-api-key:" : "Authorization: Bearer", key));
  }
  return headers;
}

}  // namespace fulmen
