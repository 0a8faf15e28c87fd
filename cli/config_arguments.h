// The command line of `fulmen train CONFIG.toml` and what is like it.
#pragma once

#include <string>
#include <vector>

#include "train/training_config.h"

namespace fulmen {

struct ConfigArguments {
  std::string config;  // path
  std::vector<Override> overrides;
};

// Takes in what CLI11 does not know: the config, and flags that are named after its fields.
Status TakeExtras(const std::vector<std::string>& extras, ConfigArguments& arguments);

// `command` is how it is called, for the error when no config was given.
Result<TrainingConfig> LoadConfig(const ConfigArguments& arguments, const std::string& command);

}  // namespace fulmen
