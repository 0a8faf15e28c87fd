// libFuzzer target: any bytes as the URL of an image and as the location of a redirect from there.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "serve/image_url.h"

namespace {

// What libcurl makes of the URL we give it is what was decided on.
void CheckStable(const fulmen::ImageUrl& url) {
  const auto again = fulmen::ParseImageUrl(url.text);
  FULMEN_CHECK(again, "'{}' is refused the second time", url.text);
  FULMEN_CHECK(again->text == url.text && again->host == url.host && again->port == url.port,
               "'{}' becomes '{}'", url.text, again->text);
  FULMEN_CHECK(url.text.starts_with("http://") || url.text.starts_with("https://"), "a scheme");
  for (const char c : url.host) {
    FULMEN_CHECK(c > ' ' && c <= '~' && !(c >= 'A' && c <= 'Z') && c != '@' && c != '/',
                 "a host '{}'", url.host);
  }
  FULMEN_CHECK(!url.host.empty() && url.host.back() != '.', "a host '{}'", url.host);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (const auto url = fulmen::ParseImageUrl(text)) CheckStable(*url);
  const fulmen::ImageUrl from = *fulmen::ParseImageUrl("https://images.example/a/b?c");
  if (const auto next = fulmen::ParseImageRedirect(from, text)) CheckStable(*next);
  (void)fulmen::AllowsImageHost({text, "*.example"}, from);
  return 0;
}
