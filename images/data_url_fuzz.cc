// libFuzzer target: any bytes as a data URL.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "images/data_url.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int64_t kMost = 48;
  const std::string_view url(reinterpret_cast<const char*>(data), size);
  const auto bytes = fulmen::DecodeDataUrl(url, kMost, "input");
  FULMEN_CHECK(
      bytes ? fulmen::IsDataUrl(url) && bytes->size() <= kMost + 2 : !bytes.error().message.empty(),
      "{} bytes of {}", bytes ? bytes->size() : 0, size);
  return 0;
}
