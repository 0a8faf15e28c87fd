// libFuzzer target: any bytes as the config of a training run.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "train/schedule.h"
#include "train/training_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto config = fulmen::ParseTrainingConfig(text, "input");
  if (!config) return 0;
  // What is accepted has a plan, and survives being written.
  const fulmen::TrainingPlan plan(*config);
  if (plan.steps() <= 0 || !(plan.TokensFrom(0) > 0)) abort();
  plan.At(plan.steps() - 1);
  const std::string written = fulmen::WriteTrainingConfig(*config);
  const auto again = fulmen::ParseTrainingConfig(written, "written");
  if (!again || fulmen::WriteTrainingConfig(*again) != written) abort();
  return 0;
}
