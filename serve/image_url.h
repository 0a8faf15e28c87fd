// URLs of images, as clients give them, and the hosts that they may name.
//
// A URL is taken apart by libcurl, put into one form, and given to libcurl in that form alone: no
// spelling makes the host that is decided on another than the one that is connected to.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace fulmen {

struct ImageUrl {
  std::string text;  // the whole
  // In lower case and ASCII ("xn--..."), an IPv4 address as four decimal numbers, an IPv6 address
  // without brackets; no dot at its end.
  std::string host;
  uint16_t port = 0;
  bool is_default_port = false;  // of its scheme
};

// Refuses schemes other than http and https, and a user or password.
Result<ImageUrl> ParseImageUrl(const std::string& text);
// Where a redirect from `from` leads; `location` may be relative.
Result<ImageUrl> ParseImageRedirect(const ImageUrl& from, const std::string& location);

// Whether `entry` is of the form that ImageFetchRules::hosts describes.
Status CheckImageHost(std::string_view entry);
// Entries of another form allow nothing.
bool AllowsImageHost(const std::vector<std::string>& entries, const ImageUrl& url);

}  // namespace fulmen
