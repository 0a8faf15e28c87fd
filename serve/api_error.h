// What is wrong with a request, before an API gives it its own shape.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace fulmen {

enum class ApiErrorKind : uint8_t {
  kInvalid,           // what is asked makes no sense
  kContextLength,     // prompt, or prompt and answer, are longer than the context: `overflow`
  kUnsupported,       // makes sense, and is not there
  kAuthentication,    // no key, or an unknown one
  kForbidden,         // a Host, Origin or key that may not ask this
  kNotFound,          // no such route, response or session
  kModelNotFound,     // no such model
  kMethodNotAllowed,  // the route has others
  kRequestTimeout,    // the request did not arrive in time
  kConflict,          // somebody else was faster: a name is taken, a response has ended
  kTooLarge,          // the body
  kMediaType,         // the body is no JSON by its own account
  kBalance,           // the key's balance or what it may spend in a day is used up
  kRequestLimit,      // too many requests of the key: in a minute, or at one time
  kTokenLimit,        // too many tokens of the key in a minute
  kBusy,              // the queue is full; later there may be room
  kUnavailable,       // the server is about to stop, or a model is not loaded yet
  kDeadline,          // the answer took longer than it may
  kInternal,
};

struct ContextOverflow {
  int64_t prompt = 0;
  std::optional<int64_t> max_tokens;  // where the two of them together are too long
  int64_t context = 0;
};

struct ApiError {
  ApiErrorKind kind = ApiErrorKind::kInvalid;
  std::string message;
  std::string param = {};  // the field of the request, as in "messages[2].content"; may be empty
  std::optional<ContextOverflow> overflow = {};
  Json details = {};  // Anthropic's clients read in its error_code what to try instead
  std::optional<double> retry_after = {};  // seconds from now; whoever tries again without it fails
  std::vector<std::pair<std::string, std::string>> headers = {};  // of the answer
};

template <class T>
using ApiResult = tl::expected<T, ApiError>;

template <class... Args>
tl::unexpected<ApiError> ApiFail(ApiErrorKind kind, std::string param,
                                 fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<ApiError>(
      ApiError{kind, fmt::format(format, std::forward<Args>(args)...), std::move(param)});
}

// An error of the layers below, which somebody's request caused.
ApiError ToApiError(const Error& error, std::string param = {});

// Whose shape an error takes: that of the route it was asked by, or would have been.
enum class ApiStyle : uint8_t { kOpenAi, kAnthropic, kMiniMax };
ApiStyle StyleOfPath(std::string_view path);

// The status of the answer and its body. MiniMax's own API answers 200 to what it understood, with
// a code of its own in the body.
int HttpStatusOf(ApiStyle style, const ApiError& error);
Json ErrorBody(ApiStyle style, const ApiError& error, std::string_view request_id);

}  // namespace fulmen

// Leaves the function with the error of `expression`, an ApiResult.
#define FULMEN_API_TRY(expression)                                                 \
  do {                                                                             \
    if (auto fulmen_status = (expression); !fulmen_status) {                       \
      return tl::unexpected<::fulmen::ApiError>(std::move(fulmen_status).error()); \
    }                                                                              \
  } while (false)

// FULMEN_API_ASSIGN(auto x, F()): x takes F's value, or the function is left with F's error.
#define FULMEN_API_ASSIGN(target, expression) \
  FULMEN_API_ASSIGN_IMPL(FULMEN_CONCAT(fulmen_result_, __LINE__), target, expression)
#define FULMEN_API_ASSIGN_IMPL(result, target, expression)                           \
  auto result = (expression);                                                        \
  if (!result) return tl::unexpected<::fulmen::ApiError>(std::move(result).error()); \
  target = *std::move(result)
