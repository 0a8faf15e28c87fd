// fulmen train sweep: models of several kinds and sizes on the same tokens, and their scaling laws.
#include <fmt/ranges.h>

#include <memory>

#include "base/console.h"
#include "cli/commands.h"
#include "cli/config_arguments.h"
#include "cli/interrupt.h"
#include "cli/session.h"
#include "cli/training_line.h"
#include "kernels/peak.h"
#include "train/sweep.h"
#include "train/sweep_report.h"

namespace fulmen {
namespace {

struct SweepCommand {
  ConfigArguments arguments;
  std::vector<SweepSize> sizes;  // empty: those around the config's own
  std::vector<std::string> kinds = {"softmax", "lightning", "hybrid"};
  RunStart start = RunStart::kNew;
  bool json = false;
  bool quiet = false;
};

std::string ProgressText(const SweepProgress& progress, size_t runs) {
  const StepMetrics& m = progress.training.metrics;
  return fmt::format(
      "run {}/{} {} step {}/{}: loss {:.4f}, {:.0f} tokens/s, {:.0f} % of peak, {} left of this "
      "run, {} of all",
      progress.number, runs, progress.run.name(), m.step, progress.training.steps, m.loss,
      m.tokens_per_second, 100 * m.peak_share, HumanDuration(progress.training.seconds_left),
      HumanDuration(progress.seconds_left));
}

Status Run(const SweepCommand& command) {
  FULMEN_ASSIGN(const TrainingConfig config,
                ReadTrainingConfig(command.arguments.config, command.arguments.overrides));
  FULMEN_ASSIGN(
      const std::vector<SweepRun> runs,
      PlanSweep(config, command.sizes.empty() ? DefaultSweepSizes(config.model) : command.sizes,
                command.kinds));
  FULMEN_ASSIGN(const std::unique_ptr<Communicator> ranks, OpenCommunicator());
  const InterruptGuard interrupt;
  ThreadPool pool(static_cast<int>(config.run.threads));
  double peak = MeasureFmaFlops(pool);
  FULMEN_TRY(ranks->AllReduceSum({&peak, 1}));
  TrainingLine line;
  SweepOptions options;
  options.start = command.start;
  options.peak_flops = peak;
  options.stop = &interrupt.signal();
  options.warn = [&](const std::string& sentence) { line.Say(sentence); };
  if (!command.quiet) {
    options.say = options.warn;
    options.progress = [&](const SweepProgress& progress) {
      line.Show(ProgressText(progress, runs.size()),
                progress.training.metrics.step == progress.training.steps);
    };
  }
  Result<Sweep> sweep = RunSweep(config, runs, options, pool, *ranks);
  line.End();
  FULMEN_TRY(ExitIfStopped(sweep.map([](const Sweep&) {})));
  if (ranks->rank() != 0) return {};
  Print("{}", command.json ? SweepJson(*sweep).dump() + "\n" : SweepText(*sweep));
  if (!command.quiet) Say("charts are in {}/sweep.html\n", config.output.folder);
  return {};
}

}  // namespace

void AddTrainSweep(Command& train) {
  auto options = std::make_shared<SweepCommand>();
  Command& command = train.AddCommand(
      "sweep", "Train softmax, lightning and hybrid models of several sizes; fit scaling laws");
  AddConfigArguments(command, options->arguments).Required();
  command
      .Add(
          "--sizes SIZES",
          [options](const std::string& text) -> Status {
            FULMEN_ASSIGN(options->sizes, ParseSweepSizes(text));
            return {};
          },
          "HIDDENxLAYERS,...: widths of heads and experts keep the config's ratios")
      .Default("two thirds, one and one and a half times the config's hidden_size");
  command
      .Add(
          "--kinds KINDS",
          [options](const std::string& text) -> Status {
            FULMEN_ASSIGN(options->kinds, ParseSweepKinds(text));
            return {};
          },
          "Some of softmax, lightning, hybrid")
      .Default(fmt::format("{}", fmt::join(options->kinds, ",")));
  AddStartOptions(command, options->start,
                  "Go on with the sweep in the folder; runs that are done are not repeated");
  command.Add("--json", options->json, "Print what FOLDER/sweep.json holds");
  AddQuietOption(command, options->quiet, "progress and no hints");
  AddFieldOptions(command, options->arguments);
  command.Notes(
      "CONFIG.toml is that of `fulmen train`. Every run goes to FOLDER/KIND-SIZE; sweep.json and "
      "sweep.html in FOLDER are written anew after each. docs/sweep.md tells what is measured and "
      "how.");
  command.Examples({"fulmen train sweep run.toml --sizes 64x8,96x8,144x8 --out runs/sweep"});
  command.Run([options] { return Run(*options); });
}

}  // namespace fulmen
