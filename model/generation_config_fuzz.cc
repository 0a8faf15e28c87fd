// libFuzzer target: any bytes as generation_config.json.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "model/generation_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int64_t kVocabSize = 1000;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto json = fulmen::ParseJson(text, "input");
  if (!json) return 0;
  const auto config = fulmen::ParseGenerationConfig(*json, kVocabSize, "input");
  if (!config) return 0;
  // What is accepted must be fit to generate with.
  for (const int32_t id : config->eos_ids) {
    if (id < 0 || id >= kVocabSize) abort();
  }
  if (!(config->temperature.value_or(0) >= 0) || !(config->top_p.value_or(1) <= 1)) abort();
  if (!(config->repetition_penalty.value_or(1) > 0)) abort();
  if (config->top_k.value_or(0) < 0 || config->max_new_tokens.value_or(1) < 1) abort();
  return 0;
}
