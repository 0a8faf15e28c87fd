// libFuzzer target: any bytes as an importance matrix.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "quantize/importance_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto importance = fulmen::ParseImportance(std::as_bytes(std::span(data, size)), "input");
  if (!importance) return 0;
  for (const auto& [name, entry] : importance->entries) {
    if (entry.cols() * std::ssize(entry.counts) != std::ssize(entry.sums)) abort();
    for (const float value : entry.sums) {
      if (!std::isfinite(value) || value < 0) abort();
    }
  }
  return 0;
}
