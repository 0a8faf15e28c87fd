// The three APIs that servers of language models speak, and where and how each is asked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace fulmen {

enum class Api : uint8_t { kMinimax, kOpenai, kAnthropic };

inline constexpr Api kApis[] = {Api::kMinimax, Api::kOpenai, Api::kAnthropic};

std::string_view ApiName(Api api);                      // "minimax"
std::optional<Api> ApiFromName(std::string_view name);  // the other way round
std::string_view ApiKeyVariable(Api api);               // "MINIMAX_API_KEY"
std::string_view HostedUrl(Api api);                    // of the company's own service
std::vector<std::string> ApiNames();

// Which API an address is for, by its host and path; OpenAI's, which most servers speak, where
// neither says anything.
Api GuessApi(std::string_view url);

// An address as it is used from then on: http or https, a host, no user, no fragment, no slash at
// the end.
Result<std::string> CheckUrl(std::string_view url);
// Of an address that was checked, without its port: "api.minimax.io".
std::string HostOf(std::string_view url);
bool IsThisMachine(std::string_view url);

// `url` may be that of the server, that with /v1, or that of the route itself; a query stays.
std::string ChatUrl(Api api, std::string_view url);
std::string ModelsUrl(Api api, std::string_view url);
// As "Name: value", the key among them where there is one.
std::vector<std::string> RequestHeaders(Api api, std::string_view key);

}  // namespace fulmen
