// The page at /: files that are part of the binary.
#include <map>
#include <string>
#include <utility>

#include "base/ascii.h"
#include "engine/digest.h"
#include "serve/service.h"
#include "web/web_files.h"

namespace fulmen {
namespace {

namespace asio = boost::asio;

// The page runs its own script and talks to its own server; nothing else, wherever its text is
// from. Its one trusted type makes the address of its worker.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types page";

constexpr const char* kAssets = "assets/";

std::string TypeOf(std::string_view path) {
  static const std::map<std::string_view, const char*> types = {
      {"html", "text/html; charset=utf-8"},
      {"js", "text/javascript; charset=utf-8"},
      {"css", "text/css; charset=utf-8"},
      {"svg", "image/svg+xml"},
      {"png", "image/png"},
      {"txt", "text/plain; charset=utf-8"},
      {"webmanifest", "application/manifest+json"},
  };
  const auto found = types.find(path.substr(path.rfind('.') + 1));
  return found == types.end() ? "application/octet-stream" : found->second;
}

// Whether the client takes gzip; "gzip;q=0" says that it does not.
bool TakesGzip(std::string_view accepted) {
  while (!accepted.empty()) {
    const size_t end = std::min(accepted.find(','), accepted.size());
    std::string_view coding = accepted.substr(0, end);
    accepted.remove_prefix(std::min(end + 1, accepted.size()));
    const size_t weight = coding.find(';');
    const bool refused = weight != std::string_view::npos &&
                         coding.find("q=0", weight) != std::string_view::npos &&
                         coding.find_first_of("123456789", weight) == std::string_view::npos;
    coding = coding.substr(0, weight);
    while (coding.starts_with(' ')) coding.remove_prefix(1);
    while (coding.ends_with(' ')) coding.remove_suffix(1);
    if (SameIgnoringCase(coding, "gzip")) return !refused;
  }
  return false;
}

// Of what is in each file, by its path; they never change while the program runs.
const std::string& TagOf(std::string_view path) {
  static const auto tags = [] {
    std::map<std::string_view, std::string> made;
    for (const auto& [name, file] : WebFiles()) {
      made[name] = Base64Url(DigestFields("fulmen page").Text(file.bytes).Digest());
    }
    return made;
  }();
  return tags.at(path);
}

// The answer with a file. Names of assets change with what is in them, so they may be kept for
// good; the others are asked for again each time, and sent where they have changed.
HttpResponse ResponseOf(const HttpRequest& request, std::string_view path, const WebFile& file) {
  HttpResponse response = {.content_type = TypeOf(path)};
  const bool packs = TakesGzip(request.Header("accept-encoding"));
  const std::string tag = fmt::format("\"{}{}\"", TagOf(path), packs ? "-gzip" : "");
  response.headers = {
      {"content-security-policy", kPolicy},
      {"x-content-type-options", "nosniff"},
      {"referrer-policy", "no-referrer"},
      {"cross-origin-opener-policy", "same-origin"},
      {"cache-control",
       path.starts_with(kAssets) ? "public, max-age=31536000, immutable" : "no-cache"},
      {"etag", tag},
      {"vary", "accept-encoding"}};
  if (request.Header("if-none-match").find(tag) != std::string_view::npos) {
    constexpr int kNotModified = 304;
    response.status = kNotModified;
    return response;
  }
  if (packs) response.headers.emplace_back("content-encoding", "gzip");
  response.body = std::string(packs ? file.gzip : file.bytes);
  return response;
}

asio::awaitable<void> Send(Exchange& exchange, std::string path) {
  const auto found = WebFiles().find(path);
  const ApiError missing = {ApiErrorKind::kNotFound, "the page has no such file"};
  HttpResponse response = found == WebFiles().end()
                              ? ErrorResponse(exchange, missing)
                              : ResponseOf(exchange.request(), path, found->second);
  co_await exchange.Respond(std::move(response));
}

Route File(const std::string& path, const std::string& name, const std::string& summary) {
  const auto handler = [name](Exchange& exchange, const PathValues&) {
    return Send(exchange, name);
  };
  return {"GET", path, handler, Access::kAnyone, summary};
}

}  // namespace

std::vector<Route> PageRoutes() {
  const auto asset = [](Exchange& exchange, const PathValues& values) {
    return Send(exchange, kAssets + values.find("name")->second);
  };
  return {File("/", "index.html", "A page to chat on"),
          File("/icon.svg", "icon.svg", "Its icon"),
          File("/manifest.webmanifest", "manifest.webmanifest", "What makes it an application"),
          File("/licenses.txt", "licenses.txt", "Licenses of what it is made with"),
          {"GET", "/assets/{name}", asset, Access::kAnyone, "Its scripts and styles"}};
}

}  // namespace fulmen
