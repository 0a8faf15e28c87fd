// The manual, made from the table of commands.
#pragma once

#include <string>

#include "cli/command.h"

namespace fulmen {

// fulmen(1) for `man`, in the macros of man(7). The same on every machine.
std::string ManPage(const Command& program, const std::string& version);

}  // namespace fulmen
