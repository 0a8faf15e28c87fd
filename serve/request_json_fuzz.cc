// libFuzzer target: any bytes as the body of a request. What is read has to be what the other
// parser reads, and what that one reads has to be read.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "serve/request_json.h"

namespace {

// Equal in spite of keys that stand twice, which the other parser keeps differently.
bool Same(const fulmen::Json& a, const fulmen::Json& b) {
  if (a.is_object() && b.is_object()) {
    for (const auto& [key, value] : b.items()) {
      const auto found = a.find(key);
      if (found == a.end() || !Same(*found, value)) return false;
    }
    return a.size() == b.size();
  }
  if (a.is_array() && b.is_array() && a.size() == b.size()) {
    for (size_t i = 0; i < a.size(); ++i) {
      if (!Same(a[i], b[i])) return false;
    }
    return true;
  }
  return a == b;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string body(reinterpret_cast<const char*>(data), size);
  const fulmen::ApiResult<fulmen::Json> read = fulmen::ParseRequestJson(body);
  if (!read) FULMEN_CHECK(!read.error().message.empty(), "an error says nothing");
  // The other parser takes a NUL for the end, and refuses half a surrogate pair.
  if (body.find('\0') != std::string::npos || body.find("\\u") != std::string::npos) return 0;
  const fulmen::Result<fulmen::Json> other = fulmen::ParseJson(body, "the body");
  if (other && other->is_object()) {
    FULMEN_CHECK(read.has_value(), "refused: {}", read ? "" : read.error().message);
    FULMEN_CHECK(Same(*read, *other), "{} is read as {}", other->dump(), read->dump());
  }
  if (read) {
    FULMEN_CHECK(fulmen::Json::accept(body), "what is no JSON is read as {}", read->dump());
  }
  return 0;
}
