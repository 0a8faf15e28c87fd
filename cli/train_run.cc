// fulmen train CONFIG.toml: the trainer itself.
#include <fmt/core.h>

#include <memory>

#include "base/console.h"
#include "cli/commands.h"
#include "cli/config_arguments.h"
#include "cli/interrupt.h"
#include "cli/session.h"
#include "cli/training_line.h"
#include "kernels/peak.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"
#include "train/run_description.h"
#include "train/trainer.h"
#include "train/training_config.h"

namespace fulmen {
namespace {

struct TrainCommand {
  ConfigArguments arguments;
  RunStart start = RunStart::kNew;
  bool dry_run = false;
  bool print_config = false;
  bool quiet = false;
};

std::string ProgressText(const TrainingProgress& progress) {
  const StepMetrics& m = progress.metrics;
  return fmt::format(
      "{} step {}/{}: loss {:.4f} (auxiliary {:.3f}), gradient norm {:.3f}, learning rate {:.3g}, "
      "{:.0f} tokens/s, {:.0f} % of peak, {} left",
      m.stage, m.step, progress.steps, m.loss, m.auxiliary, m.gradient_norm, m.learning_rate,
      m.tokens_per_second, 100 * m.peak_share, HumanDuration(progress.seconds_left));
}

// A word for a shell, in quotes where it needs them.
std::string ShellWord(const std::string& word) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+=:,@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

// The command that talks to a model: in turns where it was trained on chats.
Result<std::string> TalkCommand(const std::string& model) {
  FULMEN_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(model));
  const auto chat = DetectChatFormat(tokenizer.chat_template());
  return fmt::format("fulmen run -m {} {}", ShellWord(model),
                     chat && *chat ? "--chat" : "-p \"The\"");
}

Status RunTraining(const TrainingConfig& config, const TrainCommand& command) {
  FULMEN_ASSIGN(const std::unique_ptr<Communicator> ranks, OpenCommunicator());
  if (command.dry_run) {
    FULMEN_ASSIGN(const std::string description, DescribeRun(config, ranks->size()));
    if (ranks->rank() == 0) Print("{}", description);
    return ranks->Barrier();
  }
  const InterruptGuard interrupt;
  ThreadPool pool(static_cast<int>(config.run.threads));
  double peak = MeasureFmaFlops(pool);
  FULMEN_TRY(ranks->AllReduceSum({&peak, 1}));
  TrainingLine line;
  TrainingOptions options;
  options.start = command.start;
  options.peak_flops = peak;
  options.stop = &interrupt.signal();
  options.warn = [&](const std::string& sentence) { line.Say(sentence); };
  if (!command.quiet) {
    options.say = options.warn;
    options.progress = [&](const TrainingProgress& progress) {
      line.Show(ProgressText(progress), progress.metrics.step == progress.steps);
    };
  }
  const Status status = Train(config, options, pool, *ranks);
  line.End();
  FULMEN_TRY(ExitIfStopped(status));
  if (ranks->rank() != 0 || command.quiet) return {};
  FULMEN_ASSIGN(const std::string talk, TalkCommand(config.output.folder + "/model"));
  Say("try it: {}\n", talk);
  return {};
}

Status RunTrain(const TrainCommand& command) {
  const auto& [path, overrides] = command.arguments;
  FULMEN_ASSIGN(const TrainingConfig config,
                path.empty() ? ParseTrainingConfig(WriteTrainingConfig(ExampleTrainingConfig()),
                                                   "the config to start from", overrides)
                             : ReadTrainingConfig(path, overrides));
  if (command.print_config) {
    Print("{}", WriteTrainingConfig(config));
    return {};
  }
  return RunTraining(config, command);
}

}  // namespace

void AddTrainRun(Command& train) {
  auto options = std::make_shared<TrainCommand>();
  AddConfigArguments(train, options->arguments);
  AddStartOptions(train, options->start,
                  "Go on with the run in the output folder, from its newest checkpoint");
  train
      .Add("--dry-run", options->dry_run,
           "Check the config and the data, and say what would be trained and the memory it takes")
      .Excludes({"--resume", "--resume-or-start"});
  train
      .Add("--print-config", options->print_config,
           "Print the config with every field documented; without CONFIG one to start from")
      .Excludes({"--resume", "--resume-or-start", "--dry-run"});
  AddQuietOption(train, options->quiet, "progress and no hints");
  AddFieldOptions(train, options->arguments);
  train.Notes(
      "CONFIG is a TOML file; any field of it can be given as an option, those of a stage as "
      "--stages.NAME.FIELD. Several ranks: mpirun -np 2 fulmen train CONFIG.toml");
  train.Examples({"fulmen train --print-config",
                  "fulmen train run.toml --optimizer.learning_rate 3e-4 --out runs/first"});
  train.Check([options]() -> Status {
    if (options->print_config || !options->arguments.config.empty()) return {};
    return Fail(
        ErrorCode::kInvalidArgument,
        "CONFIG is missing, as in fulmen train run.toml; fulmen train --print-config prints "
        "one to start from");
  });
  train.Run([options] { return RunTrain(*options); });
}

}  // namespace fulmen
