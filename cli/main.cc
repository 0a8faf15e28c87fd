#include <csignal>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "base/console.h"
#include "base/mapped_file.h"
#include "base/printable.h"
#include "base/temporaries.h"
#include "cli/commands.h"
#include "cli/interrupt.h"

namespace fulmen {
namespace {

// The status to exit with after `error`, which is told unless nobody listens any more.
int ExitStatus(const Error& error) {
  // As a shell reports a program that a write into a closed pipe has ended.
  if (error.code == ErrorCode::kClosedPipe) return 128 + SIGPIPE;
  Say("fulmen: {}\n", PrintableMessage(error));
  return error.code == ErrorCode::kCancelled ? InterruptGuard::ExitStatus() : EXIT_FAILURE;
}

// The status that the command which `words` ask for ends with.
Result<int> RunCommand(Command& program, const std::vector<std::string>& words) {
  try {
    return RunCommandLine(program, words);
  } catch (const ExitWith& exit) {
    return exit.status;
  } catch (const std::bad_alloc&) {
    return Fail(ErrorCode::kIo, "out of memory");
  } catch (const std::exception& error) {
    return Fail(ErrorCode::kIo, "{}", error.what());
  }
}

int RunProgram(Command& program, const std::vector<std::string>& words) {
  const Result<int> status = RunCommand(program, words);
  const Status written = FlushOutput();
  if (!status) return ExitStatus(status.error());
  return written ? *status : ExitStatus(written.error());
}

void AddCommands(Command& program) {
  AddRunCommand(program);
  AddInspectCommand(program);
  AddEvalCommand(program);
  AddTrainCommand(program);
  AddTokenizeCommand(program);
  AddDetokenizeCommand(program);
  AddSynthCommand(program);
  AddConvertCommand(program);
  AddQuantizeCommand(program);
  AddImatrixCommand(program);
  AddSessionCommand(program);
  AddServeCommand(program);
  AddCallCommand(program);
  AddAccountsCommands(program);
  AddPullCommand(program);
  AddBenchCommand(program);
  AddManualCommands(program);
}

}  // namespace
}  // namespace fulmen

int main(int argc, char** argv) {
  fulmen::OpenConsole();
  // A file that grows past a limit is an error to tell, as a full disk is, not a reason to die.
  std::signal(SIGXFSZ, SIG_IGN);
  fulmen::RemoveTemporariesOnSignals();
  fulmen::EndWhenMappedFilesShrink();
  fulmen::Command program(
      "fulmen", "Fulmen runs, measures and trains the MiniMax-01 family of language models.");
  bool version = false;
  program.Add("--version", version, "Print the version");
  fulmen::AddCommands(program);
  program.Examples({"fulmen run \"What is Fulmen?\""});
  program.Notes("`fulmen COMMAND --help` tells more of a command.");
  program.Check([&version]() -> fulmen::Status {
    if (version) return {};
    return fulmen::Fail(fulmen::ErrorCode::kInvalidArgument, "a command should follow fulmen");
  });
  program.Run([]() -> fulmen::Status {
    fulmen::Print("fulmen {}\n", FULMEN_VERSION);
    return {};
  });
  return fulmen::RunProgram(program, {argv + (argc > 0 ? 1 : 0), argv + argc});
}
