// libFuzzer target: any bytes as the header of a stored state and as a chunk of its body.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engine/state_file.h"

namespace {

// What is accepted has one form only.
void UseHeader(std::string_view text) {
  const auto header = fulmen::ParseStateFileHeader(text);
  if (header && fulmen::FormatStateFileHeader(*header) != text) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  UseHeader(text);
  UseHeader(fulmen::SealedStateFileHeader(text));
  std::vector<std::byte> out(std::min<size_t>(size == 0 ? 0 : data[0] * 64, 4096));
  (void)fulmen::DecodeChunk(text.substr(std::min<size_t>(size, 1)), out);
  return 0;
}
