#include "serve/http_guard.h"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <optional>

#include "base/ascii.h"
#include "serve/http_text.h"

namespace fulmen {
namespace {

bool IsLoopback(const std::string& host) {
  if (host == "localhost") return true;
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(host, error);
  if (error) return false;
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, address.to_v6())
        .is_loopback();
  }
  return address.is_loopback();
}

// "http://host:port" without its scheme.
std::string_view HostOfOrigin(std::string_view origin) {
  const size_t scheme = origin.find("://");
  return scheme == std::string_view::npos ? "" : origin.substr(scheme + 3);
}

bool HasKey(const HttpRequest& request) {
  return !request.Header("authorization").empty() || !request.Header("x-api-key").empty();
}

// A link on another site leads here. It only shows something, and is meant to work; a frame or an
// image is not.
bool IsNavigation(const HttpRequest& request) {
  return (request.method == "GET" || request.method == "HEAD") &&
         request.Header("sec-fetch-mode") == "navigate" &&
         request.Header("sec-fetch-dest") == "document";
}

}  // namespace

HttpGuard::HttpGuard(const HttpServerOptions& options, uint16_t port)
    : options_(&options), port_(port) {}

ApiResult<void> HttpGuard::CheckHost(const HttpRequest& request, std::string_view authority,
                                     std::string_view local_address) const {
  const auto count =
      std::count_if(request.headers.begin(), request.headers.end(),
                    [](const auto& header) { return SameIgnoringCase(header.first, "host"); });
  if (count > 1) return ApiFail(ApiErrorKind::kInvalid, "", "expected one Host, found {}", count);
  if (count == 0 && !request.is_http_10) {
    return ApiFail(ApiErrorKind::kInvalid, "", "expected the header Host");
  }
  // No browser speaks HTTP/1.0.
  if (count == 0 && authority.empty()) return {};
  const std::optional<Authority> host = ParseAuthority(authority);
  if (host) {
    const int default_port = options_->tls_certificate.empty() ? 80 : 443;
    if (host->port.value_or(default_port) == port_ &&
        (IsLoopback(host->host) || host->host == local_address ||
         host->host == LowerCase(options_->address))) {
      return {};
    }
    for (const std::string& allowed : options_->allowed_hosts) {
      if (allowed == "*") return {};
      const std::optional<Authority> other = ParseAuthority(allowed);
      if (other && other->host == host->host &&
          (!other->port || *other->port == host->port.value_or(default_port))) {
        return {};
      }
    }
  }
  return ApiFail(ApiErrorKind::kForbidden, "", "the host '{}' is not one this server answers for",
                 authority);
}

bool HttpGuard::AllowsOrigin(std::string_view origin) const {
  return std::any_of(options_->cors_origins.begin(), options_->cors_origins.end(),
                     [origin](const std::string& allowed) {
                       return allowed == "*" || SameIgnoringCase(allowed, origin);
                     });
}

ApiResult<void> HttpGuard::CheckOrigin(const HttpRequest& request) const {
  const std::string_view origin = request.Header("origin");
  const std::string_view site = request.Header("sec-fetch-site");
  // Browsers send a header of ours only after a preflight, and never without the page's knowing it.
  // Where nobody has keys, anybody could make one up.
  if (options_->authorize && (HasKey(request) || IsPreflight(request))) return {};
  if (!origin.empty()) {
    if (IsOwnPage(request) || AllowsOrigin(origin)) return {};
    return ApiFail(ApiErrorKind::kForbidden, "", "pages of '{}' may not use this server", origin);
  }
  if (site != "cross-site" || IsNavigation(request)) return {};
  return ApiFail(ApiErrorKind::kForbidden, "", "pages of other sites may not use this server");
}

ApiResult<void> HttpGuard::CheckContentType(const HttpRequest& request) const {
  std::string_view type = request.Header("content-type");
  type = type.substr(0, std::min(type.find(';'), type.size()));
  while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
  // What `curl -d` calls any body. A browser would say where it comes from.
  if (SameIgnoringCase(type, "application/x-www-form-urlencoded") &&
      request.Header("origin").empty() && request.Header("sec-fetch-site").empty()) {
    return {};
  }
  for (const std::string_view simple :
       {"text/plain", "multipart/form-data", "application/x-www-form-urlencoded"}) {
    if (SameIgnoringCase(type, simple)) {
      return ApiFail(ApiErrorKind::kMediaType, "",
                     "expected a body of the type application/json, found {}", simple);
    }
  }
  return {};
}

bool HttpGuard::IsOwnPage(const HttpRequest& request) {
  const std::string_view origin = request.Header("origin");
  if (!origin.empty()) {
    const std::string_view host = HostOfOrigin(origin);
    return !host.empty() && SameIgnoringCase(host, request.Header("host"));
  }
  const std::string_view site = request.Header("sec-fetch-site");
  return site.empty() || site == "same-origin" || site == "none";
}

bool HttpGuard::IsPreflight(const HttpRequest& request) {
  return request.method == "OPTIONS" && !request.Header("origin").empty() &&
         !request.Header("access-control-request-method").empty();
}

HttpResponse HttpGuard::Preflight(const HttpRequest& request) const {
  HttpResponse response{.status = 204, .content_type = ""};
  // Any method: that a path has another one is told to the request itself, which can be read.
  response.headers.emplace_back("access-control-allow-methods",
                                request.Header("access-control-request-method"));
  const std::string_view headers = request.Header("access-control-request-headers");
  if (!headers.empty()) response.headers.emplace_back("access-control-allow-headers", headers);
  response.headers.emplace_back("access-control-max-age", "7200");
  return response;
}

std::vector<std::pair<std::string, std::string>> HttpGuard::CorsHeaders(
    const HttpRequest& request) const {
  const std::string_view origin = request.Header("origin");
  if (origin.empty()) return {};
  std::vector<std::pair<std::string, std::string>> headers;
  if (options_->authorize) {
    headers.emplace_back("access-control-allow-origin", "*");
  } else {
    // Caches must not give one site's answer to another.
    headers.emplace_back("vary", "origin");
    if (!AllowsOrigin(origin)) return headers;
    headers.emplace_back("access-control-allow-origin", origin);
  }
  headers.emplace_back("access-control-expose-headers", "*");
  return headers;
}

}  // namespace fulmen
