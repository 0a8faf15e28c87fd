// The small grammars of HTTP that Beast leaves to its users: targets, queries, authorities.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/api_error.h"

namespace fulmen {

// Nothing where an escape is broken, or where the result has a NUL or is no UTF-8. "+" is a space
// in a query, and itself in a path.
std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_space = false);

// The decoded value of the first such key; "" where there is none. What cannot be decoded is no
// key.
std::string QueryValue(std::string_view query, std::string_view key);

// All keys that can be decoded, and their values.
std::vector<std::pair<std::string, std::string>> QueryValues(std::string_view query);

// What a request line asks for: "/path?query", "http://host/path?query", or "*".
struct HttpTarget {
  std::string authority;  // of the second form
  std::string raw_path;   // as it was sent: "%2F" is part of a segment there
  std::string path;       // decoded
  std::string query;      // as it was sent, and sure to be decodable
};
// Errors are kInvalid.
ApiResult<HttpTarget> ParseHttpTarget(std::string_view target);

// "name", "name:port", "1.2.3.4:port" or "[::1]:port".
struct Authority {
  std::string host;  // in lower case, without brackets and without a dot at its end
  std::optional<uint16_t> port;
};
std::optional<Authority> ParseAuthority(std::string_view text);

}  // namespace fulmen
