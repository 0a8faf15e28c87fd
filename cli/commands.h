// One function per command: each adds its subcommand to the application. A command's work runs as
// the subcommand's callback and throws ExitWith to end the program with a code.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>

#include "base/status.h"

namespace fulmen {

void AddRunCommand(CLI::App& app);
void AddInspectCommand(CLI::App& app);
void AddEvalCommand(CLI::App& app);
void AddTrainCommand(CLI::App& app);
void AddTrainBench(CLI::App& train);
void AddTrainData(CLI::App& train);
void AddTrainSweep(CLI::App& train);
// Makes `train` itself run the trainer. Call after its subcommands were added.
void AddTrainRun(CLI::App& train);
// --precision of the training commands.
void AddPrecisionOption(CLI::App& command, std::string& precision);
void AddTokenizeCommand(CLI::App& app);
void AddDetokenizeCommand(CLI::App& app);
void AddSynthCommand(CLI::App& app);
void AddBenchCommand(CLI::App& app);

// Runs `body`; on failure prints "fulmen: <message>" on standard error and exits with status 1.
void RunOrExit(const std::function<Status()>& body);

}  // namespace fulmen
