// What a run would be, told before it begins.
#pragma once

#include <string>

#include "base/status.h"
#include "train/training_config.h"

namespace fulmen {

// In a few lines: parameters, memory, stages, steps, tokens. Opens the data, writes nothing.
Result<std::string> DescribeRun(const TrainingConfig& config, int ranks);

}  // namespace fulmen
