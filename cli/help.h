// What a command says of itself, made from its table.
#pragma once

#include <string>

#include "cli/command.h"

namespace fulmen {

// The text of --help, for a terminal 80 columns wide.
std::string HelpText(const Command& command);
// The commands of `command`, one a line.
std::string CommandList(const Command& command);

// What help and man page share: "fulmen run [OPTIONS] [PROMPT]".
std::string UsageOf(const Command& command);
// "-n, --max-tokens N".
std::string OptionTitle(const Option& option);
// The help of an option with its choices and its default. What a default comes to on this machine
// is left out where the text is for any machine.
std::string OptionText(const Option& option, bool here);
// The headings of a command's options, in order; options without a heading are not shown.
std::vector<std::string> Headings(const Command& command);

}  // namespace fulmen
