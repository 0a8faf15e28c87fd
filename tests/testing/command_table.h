// What commands and options the program has, as its own help tells.
#pragma once

#include <string>
#include <vector>

namespace fulmen::testing {

using Words = std::vector<std::string>;

// The words between spaces.
Words Split(const std::string& text);

// Every command that `fulmen --help` leads to, each as words: {"eval", "logits"}; first the program
// itself, without any.
std::vector<Words> AllCommands();

struct CommandHelp {
  std::vector<std::string> options;   // "--max-tokens"
  std::vector<std::string> examples;  // lines for a shell
};
CommandHelp HelpOf(const Words& command);

}  // namespace fulmen::testing
