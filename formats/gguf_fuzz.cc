// libFuzzer target: any bytes as a GGUF file.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "formats/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto header = fulmen::ParseGguf(std::as_bytes(std::span(data, size)), "input");
  if (!header) return 0;
  // What is accepted must be safe to read.
  for (const auto& [name, tensor] : header->tensors) {
    const size_t bytes = fulmen::BytesOf(tensor.dtype, fulmen::ElementCount(tensor.shape));
    if (tensor.begin > tensor.end || tensor.end > size || tensor.end - tensor.begin != bytes) {
      abort();
    }
  }
  for (const auto& [key, value] : header->metadata) {
    if (value.ToJson().size() > size) abort();
  }
  return 0;
}
