// libFuzzer target: any bytes as config.json.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "model/config.h"
#include "model/cost.h"
#include "model/state.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto json = fulmen::ParseJson(text, "input");
  if (!json) return 0;
  const auto config = fulmen::ParseConfig(*json, "input");
  if (!config) return 0;
  // What is accepted must give sizes that do not overflow, and survive being written.
  if (fulmen::ParameterCount(*config) <= 0 ||
      fulmen::KvBytesPerToken(*config, fulmen::DType::kF32) < 0 ||
      fulmen::LightningMemoryBytes(*config) < 0) {
    abort();
  }
  fulmen::LightningDecay(*config, config->layer_count() - 1);
  fulmen::RopeInverseFrequencies(*config);
  if (!fulmen::ParseConfig(fulmen::ConfigToJson(*config, "float32"), "written")) abort();
  return 0;
}
