#include "serve/image_url.h"

#include <curl/curl.h>

#include <algorithm>
#include <clocale>
#include <memory>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/parse_number.h"
#include "serve/http_text.h"

namespace fulmen {
namespace {

constexpr size_t kLongestUrl = 16384;  // signed ones have a few thousand
constexpr size_t kLongestHost = 253;   // of DNS

struct Closer {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
  void operator()(char* text) const { curl_free(text); }
};
using Handle = std::unique_ptr<CURLU, Closer>;

// Names of other scripts are converted from the thread's locale, whatever the process has.
class Utf8Locale {
 public:
  Utf8Locale() {
    static const locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    before_ = uselocale(utf8);
  }
  ~Utf8Locale() { uselocale(before_); }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  locale_t before_;
};

constexpr unsigned kParse =
    CURLU_NON_SUPPORT_SCHEME | CURLU_DISALLOW_USER | CURLU_URLENCODE | CURLU_ALLOW_SPACE;

Status Set(CURLU* url, CURLUPart part, const std::string& text, unsigned flags = kParse) {
  if (text.size() > kLongestUrl || text.find('\0') != std::string::npos) {
    return Fail(ErrorCode::kInvalidArgument,
                "expected the URL of an image of at most {} bytes and without NUL, found {} bytes",
                kLongestUrl, text.size());
  }
  const CURLUcode code = curl_url_set(url, part, text.c_str(), flags);
  if (code == CURLUE_OK) return {};
  if (code == CURLUE_USER_NOT_ALLOWED) {
    return Fail(ErrorCode::kInvalidArgument,
                "expected the URL of an image without a user or password, found one with");
  }
  return Fail(ErrorCode::kInvalidArgument,
              "expected the URL of an image, as https://host/path, found another form: {}",
              curl_url_strerror(code));
}

// "" where there is none.
std::string Part(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  const CURLUcode code = curl_url_get(url, part, &text, flags);
  // libcurl 7.88 also leaves a host there that it cannot convert.
  const std::unique_ptr<char, Closer> owner(text);
  return code == CURLUE_OK ? text : "";
}

// Nothing where it could be read in more than one way, as with a '%' that is left.
std::optional<std::string> Host(CURLU* url) {
  const Utf8Locale locale;
  const auto authority = ParseAuthority(Part(url, CURLUPART_HOST, CURLU_PUNYCODE));
  if (!authority || authority->host.size() > kLongestHost || authority->host.ends_with('.')) {
    return std::nullopt;
  }
  return authority->host;
}

// Of a URL relative to `url`, which may be empty.
Result<ImageUrl> Parse(const Handle& url, const std::string& text) {
  FULMEN_TRY(Set(url.get(), CURLUPART_URL, text));
  const std::string scheme = Part(url.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") {
    return Fail(ErrorCode::kInvalidArgument,
                "expected an image's URL with http or https, found the scheme '{}'", scheme);
  }
  std::optional<std::string> host;
  for (int i = 0; i < 2; ++i) {  // twice: without its dot, "2130706433." is an address
    host = Host(url.get());
    if (!host) {
      return Fail(ErrorCode::kInvalidArgument,
                  "expected the URL of an image with the name of a host, found another form");
    }
    const bool is_v6 = host->find(':') != std::string::npos;
    FULMEN_TRY(Set(url.get(), CURLUPART_HOST, is_v6 ? "[" + *host + "]" : *host, 0));
    FULMEN_TRY(Set(url.get(), CURLUPART_URL, Part(url.get(), CURLUPART_URL)));
  }
  ImageUrl parsed = {.text = Part(url.get(), CURLUPART_URL), .host = *std::move(host)};
  const std::string port = Part(url.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
  FULMEN_ASSIGN(const int32_t number, ParseNumber<int32_t>(port, {0, 65535}));
  parsed.port = static_cast<uint16_t>(number);
  parsed.is_default_port = number == (scheme == "https" ? 443 : 80);
  return parsed;
}

Handle NewHandle() {
  Handle url(curl_url());
  FULMEN_CHECK(url != nullptr, "libcurl gives no handle");
  return url;
}

struct HostRule {
  bool is_suffix;
  Authority authority;
};

std::optional<HostRule> ParseRule(std::string_view entry) {
  std::string name(entry);
  const bool is_suffix = name.starts_with('*');
  if (is_suffix) name.front() = 'x';  // any letter, to have a name
  std::optional<Authority> authority = ParseAuthority(name);
  if (!authority) return std::nullopt;
  std::string& host = authority->host;
  if (is_suffix) host.erase(0, 1);
  if (is_suffix && !host.empty() && host.front() != '.') return std::nullopt;
  return HostRule{is_suffix, *std::move(authority)};
}

}  // namespace

Result<ImageUrl> ParseImageUrl(const std::string& text) { return Parse(NewHandle(), text); }

Result<ImageUrl> ParseImageRedirect(const ImageUrl& from, const std::string& location) {
  const Handle url = NewHandle();
  FULMEN_TRY(Set(url.get(), CURLUPART_URL, from.text));
  return Parse(url, location);
}

Status CheckImageHost(std::string_view entry) {
  if (ParseRule(entry)) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "expected a host as images.example, *.images.example, images.example:8443 or *, "
              "found '{}'",
              entry);
}

bool AllowsImageHost(const std::vector<std::string>& entries, const ImageUrl& url) {
  return std::ranges::any_of(entries, [&](const std::string& entry) {
    const std::optional<HostRule> rule = ParseRule(entry);
    if (!rule) return false;
    const auto& [host, port] = rule->authority;
    const bool is_port = port ? *port == url.port : url.is_default_port;
    return is_port && (rule->is_suffix ? url.host.ends_with(host) : url.host == host);
  });
}

}  // namespace fulmen
