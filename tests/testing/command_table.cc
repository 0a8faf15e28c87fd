#include "tests/testing/command_table.h"

#include <iterator>
#include <sstream>

#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

// The lines of `command --help` under the headings that begin with `heading`.
std::vector<std::string> Section(const Words& command, const std::string& heading) {
  Words words = command;
  words.emplace_back("--help");
  std::istringstream help(RunFulmen(words).out);
  std::vector<std::string> lines;
  bool inside = false;
  for (std::string line; std::getline(help, line);) {
    if (!line.starts_with(' ')) inside = line.starts_with(heading);
    if (inside && line.starts_with("  ")) lines.push_back(line);
  }
  return lines;
}

void Collect(const Words& command, std::vector<Words>& commands) {
  commands.push_back(command);
  for (const std::string& line : Section(command, "Commands:")) {
    if (line.starts_with("   ")) continue;  // the rest of a description
    Words below = command;
    below.push_back(line.substr(2, line.find(' ', 2) - 2));
    Collect(below, commands);
  }
}

}  // namespace

Words Split(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

std::vector<Words> AllCommands() {
  std::vector<Words> commands;
  Collect({}, commands);
  return commands;
}

CommandHelp HelpOf(const Words& command) {
  CommandHelp help;
  for (const std::string& line : Section(command, "")) {
    const size_t name = line.starts_with("  -") ? line.find("--") : std::string::npos;
    if (name <= 6) help.options.push_back(line.substr(name, line.find(' ', name) - name));
  }
  for (const std::string& line : Section(command, "Example")) {
    help.examples.push_back(line.substr(2));
  }
  return help;
}

}  // namespace fulmen::testing
