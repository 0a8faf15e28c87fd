// Scripts that complete the command line in a shell, made from the table of commands.
#pragma once

#include <string>

#include "cli/command.h"

namespace fulmen {

std::string BashCompletion(const Command& program);
std::string ZshCompletion(const Command& program);
std::string FishCompletion(const Command& program);

}  // namespace fulmen
