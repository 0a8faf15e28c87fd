// The page at /: files that are part of the binary.
#include "serve/service.h"
#include "web/web_files.h"

namespace fulmen {
namespace {

namespace asio = boost::asio;

// The page runs its own script and talks to its own server; nothing else, wherever its text is
// from.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

Route File(const std::string& path, std::string_view name, std::string type) {
  const auto handler = [name, type = std::move(type)](Exchange& exchange,
                                                      const PathValues&) -> asio::awaitable<void> {
    HttpResponse response;
    response.content_type = type;
    response.headers = {{"content-security-policy", std::string(kPolicy)},
                        {"x-content-type-options", "nosniff"},
                        {"referrer-policy", "no-referrer"}};
    response.body = std::string(WebFiles().at(name));
    co_await exchange.Respond(std::move(response));
  };
  return {"GET", path, handler, Access::kAnyone, "A page to chat on"};
}

}  // namespace

std::vector<Route> PageRoutes() {
  return {File("/", "index.html", "text/html; charset=utf-8"),
          File("/page.css", "page.css", "text/css; charset=utf-8"),
          File("/page.js", "page.js", "text/javascript; charset=utf-8")};
}

}  // namespace fulmen
