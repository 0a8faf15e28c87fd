// The command line of `fulmen train CONFIG.toml` and what is like it.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "train/training_config.h"

namespace fulmen {

struct ConfigArguments {
  std::string config;  // path
  std::vector<Override> overrides;
};

// The argument CONFIG, which is returned, and --out.
Option& AddConfigArguments(Command& command, ConfigArguments& arguments);
// An option for every field of the config, those of stages included.
void AddFieldOptions(Command& command, ConfigArguments& arguments);

}  // namespace fulmen
