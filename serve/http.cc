#include "serve/http.h"

#include <algorithm>
#include <cmath>

#include "base/ascii.h"
#include "serve/http_text.h"

namespace fulmen {
namespace {

// openai-node does not believe in longer waits, and tries again at once.
constexpr double kMostOpenAiWait = 60;

// What the SDKs try again by themselves.
bool IsRetriedByClients(int status) {
  return status == 408 || status == 409 || status == 429 || status >= 500;
}

}  // namespace

std::string_view HttpRequest::Header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (SameIgnoringCase(key, name)) return value;
  }
  return {};
}

std::string HttpRequest::Query(std::string_view key) const { return QueryValue(query, key); }

HttpResponse HttpResponse::OfJson(const Json& json, int status) {
  HttpResponse response;
  response.status = status;
  response.body = DumpJson(json);
  return response;
}

HttpResponse ErrorResponse(ApiStyle style, const ApiError& error, std::string_view request_id) {
  HttpResponse response =
      HttpResponse::OfJson(ErrorBody(style, error, request_id), HttpStatusOf(style, error));
  if (error.retry_after) {
    double seconds = std::max(*error.retry_after, 0.0);
    if (style == ApiStyle::kOpenAi) seconds = std::min(seconds, kMostOpenAiWait);
    response.headers.emplace_back("retry-after", fmt::format("{:.0f}", std::ceil(seconds)));
    response.headers.emplace_back("retry-after-ms",
                                  fmt::format("{:.0f}", std::ceil(seconds * 1000)));
  } else if (IsRetriedByClients(response.status) || error.kind == ApiErrorKind::kTokenLimit) {
    response.headers.emplace_back("x-should-retry", "false");
  }
  for (const auto& header : error.headers) response.headers.push_back(header);
  if (response.status == 401) response.headers.emplace_back("www-authenticate", "Bearer");
  return response;
}

HttpResponse ErrorResponse(const Exchange& exchange, const ApiError& error) {
  return ErrorResponse(exchange.style(), error, exchange.request().id);
}

}  // namespace fulmen
