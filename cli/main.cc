#include <csignal>
#include <cstdlib>
#include <exception>
#include <new>
#include <sstream>

#include "base/console.h"
#include "base/mapped_file.h"
#include "base/temporaries.h"
#include "cli/commands.h"
#include "cli/interrupt.h"

namespace fulmen {
namespace {

// The status to exit with after `error`, which is told unless nobody listens any more.
int ExitStatus(const Error& error) {
  // As a shell reports a program that a write into a closed pipe has ended.
  if (error.code == ErrorCode::kClosedPipe) return 128 + SIGPIPE;
  Say("fulmen: {}\n", error.message);
  return error.code == ErrorCode::kCancelled ? InterruptGuard::kExitStatus : EXIT_FAILURE;
}

// Runs the command of `arguments`; the status to exit with.
int RunCommand(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out;
    std::ostringstream err;
    const int status = app.exit(error, out, err);
    PrintText(out.str());
    SayText(err.str());
    if (status != EXIT_SUCCESS) return status;
  } catch (const std::bad_alloc&) {
    return ExitStatus({ErrorCode::kIo, "out of memory"});
  } catch (const std::exception& error) {
    return ExitStatus({ErrorCode::kIo, error.what()});
  }
  const Status written = FlushOutput();
  return written ? EXIT_SUCCESS : ExitStatus(written.error());
}

}  // namespace

void RunOrExit(const std::function<Status()>& body) {
  Status status = body();
  if (status) status = FlushOutput();
  if (!status) throw CLI::RuntimeError(ExitStatus(status.error()));
}

}  // namespace fulmen

int main(int argc, char** argv) {
  fulmen::OpenConsole();
  // A file that grows past a limit is an error to tell, as a full disk is, not a reason to die.
  std::signal(SIGXFSZ, SIG_IGN);
  fulmen::RemoveTemporariesOnSignals();
  fulmen::EndWhenMappedFilesShrink();
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
  return fulmen::RunCommand(app, argc, argv);
}
