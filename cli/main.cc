#include <cstdlib>

#include "cli/commands.h"

namespace fulmen {

void RunOrExit(const std::function<Status()>& body) {
  const Status status = body();
  if (status) return;
  fmt::print(stderr, "fulmen: {}\n", status.error().message);
  throw CLI::RuntimeError(EXIT_FAILURE);
}

}  // namespace fulmen

int main(int argc, char** argv) {
  CLI::App app("Fulmen runs and measures the MiniMax-01 family of language models.", "fulmen");
  app.set_version_flag("--version", "fulmen " FULMEN_VERSION);
  app.require_subcommand(1);
  app.footer("Example: fulmen run -p \"Alice was beginning to\"");
  fulmen::AddRunCommand(app);
  fulmen::AddInspectCommand(app);
  fulmen::AddEvalCommand(app);
  fulmen::AddTrainCommand(app);
  fulmen::AddTokenizeCommand(app);
  fulmen::AddDetokenizeCommand(app);
  fulmen::AddSynthCommand(app);
  fulmen::AddBenchCommand(app);
  CLI11_PARSE(app, argc, argv);
  return EXIT_SUCCESS;
}
