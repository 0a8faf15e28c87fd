// Decides by its header whether a request may be worked for at all, against pages of other sites
// that a browser of ours happens to show.
//
// A page can make a browser send requests to any server: "simple" ones without asking, others after
// a preflight. It can also have its own name resolve to our address (DNS rebinding). So Host must
// name us, Origin must be ours or allowed, and bodies of the simple types start nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/http.h"
#include "serve/http_server.h"

namespace fulmen {

class HttpGuard {
 public:
  // The options must outlive it. `port` is the one that is listened on.
  HttpGuard(const HttpServerOptions& options, uint16_t port);

  // `authority` is that of the target or else of Host; `local_address` the one the client came to.
  // Errors are kForbidden, and kInvalid where there is no Host but has to be.
  ApiResult<void> CheckHost(const HttpRequest& request, std::string_view authority,
                            std::string_view local_address) const;
  // kForbidden for a foreign page without a key.
  ApiResult<void> CheckOrigin(const HttpRequest& request) const;
  // kMediaType for a body that a page of any site could send.
  ApiResult<void> CheckContentType(const HttpRequest& request) const;

  // Whether it comes from the page that this server shows, or from no page at all.
  static bool IsOwnPage(const HttpRequest& request);

  static bool IsPreflight(const HttpRequest& request);
  // Of one that CheckOrigin allows.
  HttpResponse Preflight(const HttpRequest& request) const;
  // For the answer to a request with an Origin.
  std::vector<std::pair<std::string, std::string>> CorsHeaders(const HttpRequest& request) const;

 private:
  bool AllowsOrigin(std::string_view origin) const;

  const HttpServerOptions* options_;
  uint16_t port_;
};

}  // namespace fulmen
