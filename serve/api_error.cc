#include "serve/api_error.h"

#include <fmt/core.h>

#include <utility>

namespace fulmen {
namespace {

// The names each API has for a kind of error, and its status. `openai_code` may be empty.
struct Names {
  int openai_status;
  std::string_view openai_type;
  std::string_view openai_code;
  int anthropic_status;
  std::string_view anthropic_type;
  int minimax_code;
};

constexpr std::string_view kInvalidRequest = "invalid_request_error";
constexpr std::string_view kRateLimit = "rate_limit_exceeded";

Names NamesOf(ApiErrorKind kind) {
  switch (kind) {
    case ApiErrorKind::kInvalid:
      return {400, kInvalidRequest, "", 400, kInvalidRequest, 2013};
    case ApiErrorKind::kContextLength:
      return {400, kInvalidRequest, "context_length_exceeded", 400, kInvalidRequest, 2013};
    case ApiErrorKind::kUnsupported:
      return {400, kInvalidRequest, "unsupported_parameter", 400, kInvalidRequest, 2013};
    case ApiErrorKind::kAuthentication:
      return {401, kInvalidRequest, "invalid_api_key", 401, "authentication_error", 1004};
    case ApiErrorKind::kForbidden:
      return {403, kInvalidRequest, "forbidden", 403, "permission_error", 1004};
    case ApiErrorKind::kNotFound:
      return {404, kInvalidRequest, "not_found", 404, "not_found_error", 2013};
    case ApiErrorKind::kModelNotFound:
      return {404, kInvalidRequest, "model_not_found", 404, "not_found_error", 2013};
    case ApiErrorKind::kMethodNotAllowed:
      return {405, kInvalidRequest, "method_not_allowed", 405, kInvalidRequest, 2013};
    case ApiErrorKind::kRequestTimeout:
      return {408, kInvalidRequest, "request_timeout", 408, kInvalidRequest, 1001};
    case ApiErrorKind::kConflict:
      return {409, kInvalidRequest, "conflict", 409, "conflict_error", 2013};
    case ApiErrorKind::kTooLarge:
      return {413, kInvalidRequest, "request_too_large", 413, "request_too_large", 2013};
    case ApiErrorKind::kMediaType:
      return {415, kInvalidRequest, "unsupported_media_type", 415, kInvalidRequest, 2013};
    case ApiErrorKind::kBalance:
      return {402, "insufficient_quota", "insufficient_quota", 402, "billing_error", 1008};
    case ApiErrorKind::kRequestLimit:
      return {429, "requests", kRateLimit, 429, "rate_limit_error", 1002};
    case ApiErrorKind::kTokenLimit:
      return {429, "tokens", kRateLimit, 429, "rate_limit_error", 1039};
    case ApiErrorKind::kBusy:
      return {429, kRateLimit, kRateLimit, 529, "overloaded_error", 1041};
    case ApiErrorKind::kUnavailable:
      return {503, "server_error", "unavailable", 503, "api_error", 1000};
    case ApiErrorKind::kDeadline:
      return {504, "server_error", "timeout", 504, "timeout_error", 1001};
    case ApiErrorKind::kInternal:
      return {500, "server_error", "", 500, "api_error", 1013};
  }
  return {};
}

// Agents read the numbers out of these sentences, and make their conversation shorter.
std::string OverflowMessage(ApiStyle style, const ContextOverflow& overflow) {
  if (style == ApiStyle::kAnthropic) {
    if (overflow.max_tokens) {
      return fmt::format("input length and `max_tokens` exceed context limit: {} + {} > {}",
                         overflow.prompt, *overflow.max_tokens, overflow.context);
    }
    return fmt::format("prompt is too long: {} tokens > {} maximum", overflow.prompt,
                       overflow.context);
  }
  const std::string more = overflow.max_tokens
                               ? fmt::format(" ({} in the messages, {} in the completion)",
                                             overflow.prompt, *overflow.max_tokens)
                               : "";
  return fmt::format(
      "This model's maximum context length is {} tokens. However, your messages resulted in {} "
      "tokens{}. Please reduce the length of the messages or completion.",
      overflow.context, overflow.prompt + overflow.max_tokens.value_or(0), more);
}

Json NullIfEmpty(std::string_view text) { return text.empty() ? Json() : Json(text); }

}  // namespace

ApiError ToApiError(const Error& error, std::string param) {
  ApiErrorKind kind = ApiErrorKind::kInternal;
  switch (error.code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kCorrupt:
      kind = ApiErrorKind::kInvalid;
      break;
    case ErrorCode::kUnsupported:
      kind = ApiErrorKind::kUnsupported;
      break;
    case ErrorCode::kNotFound:
      kind = ApiErrorKind::kNotFound;
      break;
    case ErrorCode::kConflict:
      kind = ApiErrorKind::kConflict;
      break;
    case ErrorCode::kNoRoom:
      kind = ApiErrorKind::kBusy;
      break;
    case ErrorCode::kUnavailable:
      kind = ApiErrorKind::kUnavailable;
      break;
    case ErrorCode::kIo:
    case ErrorCode::kNonFinite:
    case ErrorCode::kCancelled:
    case ErrorCode::kClosedPipe:
      break;
  }
  return {kind, error.message, std::move(param)};
}

ApiStyle StyleOfPath(std::string_view path) {
  if (path.starts_with("/anthropic") || path.starts_with("/v1/messages")) {
    return ApiStyle::kAnthropic;
  }
  return path.starts_with("/v1/text/") ? ApiStyle::kMiniMax : ApiStyle::kOpenAi;
}

int HttpStatusOf(ApiStyle style, const ApiError& error) {
  const Names names = NamesOf(error.kind);
  switch (style) {
    case ApiStyle::kOpenAi:
      return names.openai_status;
    case ApiStyle::kAnthropic:
      return names.anthropic_status;
    case ApiStyle::kMiniMax:
      break;
  }
  // What never reached the API itself is told by HTTP.
  switch (error.kind) {
    case ApiErrorKind::kForbidden:
    case ApiErrorKind::kNotFound:
    case ApiErrorKind::kMethodNotAllowed:
    case ApiErrorKind::kRequestTimeout:
    case ApiErrorKind::kTooLarge:
    case ApiErrorKind::kMediaType:
    case ApiErrorKind::kUnavailable:
      return names.openai_status;
    default:
      return 200;
  }
}

Json ErrorBody(ApiStyle style, const ApiError& error, std::string_view request_id) {
  const Names names = NamesOf(error.kind);
  const std::string message =
      error.overflow ? OverflowMessage(style, *error.overflow) : error.message;
  // Where a shape has no place for the field's name, the message begins with it.
  const std::string named =
      error.param.empty() || error.overflow ? message : fmt::format("{}: {}", error.param, message);
  switch (style) {
    case ApiStyle::kOpenAi:
      return {{"error",
               {{"message", message},
                {"type", names.openai_type},
                {"param", NullIfEmpty(error.param)},
                {"code", NullIfEmpty(names.openai_code)}}}};
    case ApiStyle::kAnthropic: {
      Json body = {{"type", names.anthropic_type}, {"message", named}};
      if (!error.details.is_null()) body["details"] = error.details;
      return {{"type", "error"}, {"error", std::move(body)}, {"request_id", request_id}};
    }
    case ApiStyle::kMiniMax:
      return {{"id", request_id},
              {"choices", nullptr},
              {"created", 0},
              {"base_resp", {{"status_code", names.minimax_code}, {"status_msg", named}}}};
  }
  return {};
}

}  // namespace fulmen
