// Images from URLs that clients give: only from where the server's owner allowed it, and never from
// a network that the client could not reach itself.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "serve/public_address.h"

namespace fulmen {

struct ImageFetchRules {
  // "images.example"; "*.images.example", which is its subdomains alone; or "*", which is any.
  // Without a port (as "images.example:8443", "*:8080") each means the default port of the URL's
  // scheme. Addresses are written as 192.0.2.1 or [2001:db8::1], names of other scripts as
  // "xn--...". None: nothing is fetched.
  std::vector<std::string> hosts = {};
  size_t most_bytes = size_t{20} << 20;
  double seconds = 10;  // for all of it, redirects included
  int most_redirects = 3;
  // Also addresses that are not public: for an owner's own network.
  bool private_addresses = false;
};

// What lies between rules and network; tests put something else there.
struct ImageNetwork {
  // Called with the very address that is then connected to.
  std::function<bool(const sockaddr&)> may_connect = IsPublicAddress;
  // "host:port:address,address", in place of what a resolver says.
  std::vector<std::string> resolve = {};
};

// The bytes of the image, if they are one: only what the host says of them is looked at. Blocks;
// thread safe. The host must be allowed and its address public, also of redirects. Errors name no
// more of the URL than its host. They are kInvalidArgument, and kUnavailable where the host failed.
// A name without an address and one without a public address have the same.
Result<std::string> FetchImage(const std::string& url, const ImageFetchRules& rules);
Result<std::string> FetchImage(const std::string& url, const ImageFetchRules& rules,
                               const ImageNetwork& network);

}  // namespace fulmen
