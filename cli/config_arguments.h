// The command line of `fulmen train CONFIG.toml` and what is like it.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "cli/command.h"
#include "train/run_setup.h"
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

// --resume and --resume-or-start; without either `start` stays as it is.
void AddStartOptions(Command& command, RunStart& start, std::string resume_help);

// `status`, but ends the program where a signal stopped the run: rank 0 has said so already.
Status ExitIfStopped(const Status& status);

}  // namespace fulmen
