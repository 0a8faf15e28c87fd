// fulmen completion and fulmen manual: what the table of commands is good for besides parsing.
#include <memory>

#include "base/console.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/man_page.h"

namespace fulmen {

void AddManualCommands(Command& program) {
  auto shell = std::make_shared<std::string>();
  Command& completion = program.AddCommand(
      "completion", "Print a script that completes this command line in a shell");
  completion.Add("SHELL", *shell, "The shell").Choices({"bash", "zsh", "fish"}).Required();
  completion.Examples({"eval \"$(fulmen completion bash)\""});
  completion.Run([shell, &program]() -> Status {
    PrintText(*shell == "bash"  ? BashCompletion(program)
              : *shell == "zsh" ? ZshCompletion(program)
                                : FishCompletion(program));
    return {};
  });

  Command& manual = program.AddCommand("manual", "Print the manual page, for man");
  manual.Examples({"fulmen manual | man -l -"});
  manual.Run([&program]() -> Status {
    PrintText(ManPage(program, FULMEN_VERSION));
    return {};
  });
}

}  // namespace fulmen
