// libFuzzer target: any bytes as a target, a query and an authority.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "serve/http_text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto target = fulmen::ParseHttpTarget(text)) {
    FULMEN_CHECK(!target->path.empty() && target->path.find('\0') == std::string::npos,
                 "a path is empty or has a NUL");
    FULMEN_CHECK(fulmen::PercentDecode(target->raw_path) == target->path, "two paths");
    FULMEN_CHECK(fulmen::PercentDecode(target->query, true).has_value(), "a broken query");
  }
  const size_t middle = size / 2;
  const std::string value = fulmen::QueryValue(text.substr(middle), text.substr(0, middle));
  FULMEN_CHECK(value.size() <= size, "a value longer than its query");
  if (const auto authority = fulmen::ParseAuthority(text)) {
    FULMEN_CHECK(!authority->host.empty() && authority->host.size() <= size, "a host of nothing");
  }
  return 0;
}
