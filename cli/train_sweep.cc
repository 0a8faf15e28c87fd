// fulmen train sweep: models of several kinds and sizes on the same tokens, and their scaling laws.
#include <fmt/core.h>

#include <memory>

#include "base/console.h"
#include "cli/commands.h"
#include "cli/config_arguments.h"
#include "cli/interrupt.h"
#include "cli/training_line.h"
#include "kernels/peak.h"
#include "train/sweep.h"
#include "train/sweep_report.h"

namespace fulmen {
namespace {

struct SweepCommand {
  ConfigArguments arguments;
  std::string sizes;
  std::string kinds = "softmax,lightning,hybrid";
  bool resume = false;
  bool json = false;
};

Result<std::vector<SweepRun>> PlanRuns(const TrainingConfig& config, const SweepCommand& command) {
  std::vector<SweepSize> sizes = DefaultSweepSizes(config.model);
  if (!command.sizes.empty()) {
    FULMEN_ASSIGN(sizes, ParseSweepSizes(command.sizes));
  }
  FULMEN_ASSIGN(const std::vector<std::string> kinds, ParseSweepKinds(command.kinds));
  return PlanSweep(config, sizes, kinds);
}

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
  FULMEN_ASSIGN(const TrainingConfig config, LoadConfig(command.arguments, "fulmen train sweep"));
  FULMEN_ASSIGN(const std::vector<SweepRun> runs, PlanRuns(config, command));
  FULMEN_ASSIGN(const std::unique_ptr<Communicator> ranks, OpenCommunicator());
  ThreadPool pool(static_cast<int>(config.run.threads));
  double peak = MeasureFmaFlops(pool);
  FULMEN_TRY(ranks->AllReduceSum({&peak, 1}));
  const InterruptGuard interrupt;
  TrainingLine line;
  SweepOptions options;
  options.resume = command.resume;
  options.peak_flops = peak;
  options.stop = &interrupt.flag();
  options.progress = [&](const SweepProgress& progress) {
    line.Show(ProgressText(progress, runs.size()),
              progress.training.metrics.step == progress.training.steps);
  };
  Result<Sweep> sweep = RunSweep(config, runs, options, pool, *ranks);
  line.End();
  if (!sweep) return tl::unexpected(sweep.error());
  if (ranks->rank() != 0) return {};
  Print("{}", command.json ? SweepJson(*sweep).dump() + "\n" : SweepText(*sweep));
  Say("charts are in {}/sweep.html\n", config.output.folder);
  return {};
}

}  // namespace

void AddTrainSweep(CLI::App& train) {
  auto command = std::make_shared<SweepCommand>();
  CLI::App* app = train.add_subcommand(
      "sweep", "Train softmax, lightning and hybrid models of several sizes; fit scaling laws");
  app->add_option_function<std::string>(
      "--out",
      [command](const std::string& folder) {
        command->arguments.overrides.emplace_back("output.folder", folder);
      },
      "Folder of the sweep, in place of the config's output.folder");
  app->add_option("--sizes", command->sizes,
                  "HIDDENxLAYERS,...: widths of heads and experts keep the config's ratios\n"
                  "(default: two thirds, one and one and a half times the config's hidden_size)")
      ->take_last();
  app->add_option("--kinds", command->kinds, "Some of softmax, lightning, hybrid")
      ->capture_default_str();
  app->add_flag("--resume", command->resume,
                "Go on with the sweep in the folder; runs that are done are not repeated");
  app->add_flag("--json", command->json, "Print what FOLDER/sweep.json holds");
  app->footer(
      "CONFIG.toml is that of `fulmen train`, and its fields can be given as flags here, too. "
      "Every\n"
      "run goes to FOLDER/KIND-SIZE; sweep.json and sweep.html in FOLDER are written anew after\n"
      "each. docs/sweep.md tells what is measured and how.\n\n"
      "Example: fulmen train sweep run.toml --sizes 64x8,96x8,144x8 --out runs/sweep");
  app->allow_extras();
  app->callback([command, app] {
    RunOrExit([&]() -> Status {
      FULMEN_TRY(TakeExtras(app->remaining(), command->arguments));
      return Run(*command);
    });
  });
}

}  // namespace fulmen
