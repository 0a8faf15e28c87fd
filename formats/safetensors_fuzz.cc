// libFuzzer target: any bytes as the start of a safetensors file.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> file = std::as_bytes(std::span(data, size));
  const auto header = fulmen::ParseSafetensorsHeader(file, size, "input");
  if (!header) return 0;
  // What is accepted must be safe to read.
  for (const auto& [name, entry] : header->tensors) {
    const auto bytes =
        static_cast<size_t>(fulmen::ElementCount(entry.shape)) * fulmen::DTypeSize(entry.dtype);
    if (entry.begin > entry.end || entry.end > size || entry.end - entry.begin != bytes) abort();
  }
  return 0;
}
