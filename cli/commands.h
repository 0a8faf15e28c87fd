// One function per command: each adds its command to the program's table (cli/command.h).
#pragma once

#include <string>

#include "cli/command.h"

namespace fulmen {

void AddRunCommand(Command& program);
void AddInspectCommand(Command& program);
void AddEvalCommand(Command& program);
void AddEvalMasks(Command& eval);
void AddEvalPerplexity(Command& eval);
void AddTrainCommand(Command& program);
void AddTrainBench(Command& train);
void AddTrainData(Command& train);
void AddTrainSweep(Command& train);
// Makes `train` itself run the trainer. Call after its subcommands were added.
void AddTrainRun(Command& train);
// --precision of the training commands.
void AddPrecisionOption(Command& command, std::string& precision);
void AddTokenizeCommand(Command& program);
void AddDetokenizeCommand(Command& program);
void AddSynthCommand(Command& program);
void AddConvertCommand(Command& program);
void AddQuantizeCommand(Command& program);
void AddImatrixCommand(Command& program);
void AddBenchCommand(Command& program);
void AddSessionCommand(Command& program);
void AddServeCommand(Command& program);
void AddPullCommand(Command& program);
void AddCallCommand(Command& program);
void AddAccountsCommands(Command& program);  // keys, balance, usage and what belongs to them
// `completion` and `manual`, which tell of all commands that were added before or are added later.
void AddManualCommands(Command& program);

}  // namespace fulmen
