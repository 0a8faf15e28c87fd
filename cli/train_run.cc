// fulmen train CONFIG.toml: the trainer itself.
#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "kernels/peak.h"
#include "train/trainer.h"
#include "train/training_config.h"
#include "train/training_fields.h"

namespace fulmen {
namespace {

struct TrainCommand {
  std::string config;
  std::vector<Override> overrides;
  bool resume = false;
  bool dry_run = false;
  bool print_config = false;
};

std::string Duration(double seconds) {
  const auto minutes = static_cast<int64_t>(seconds / 60);
  if (minutes < 1) return fmt::format("{:.0f} s", seconds);
  if (minutes < 60) return fmt::format("{} min", minutes);
  return fmt::format("{} h {:02} min", minutes / 60, minutes % 60);
}

// On a terminal one line that is redrawn, elsewhere a new one every ten seconds.
class ProgressLine {
 public:
  void Show(const TrainingProgress& progress) {
    const auto now = std::chrono::steady_clock::now();
    const StepMetrics& m = progress.metrics;
    const bool last = m.step == progress.steps;
    if (shown_ && !last && now - last_shown_ < (terminal_ ? kRedraw : kLog)) return;
    last_shown_ = now;
    shown_ = true;
    fmt::print(stderr,
               "{}{} step {}/{}: loss {:.4f} (auxiliary {:.3f}), gradient norm {:.3f}, learning "
               "rate {:.3g}, {:.0f} tokens/s, {:.0f} % of peak, {} left{}",
               terminal_ ? "\r" : "", m.stage, m.step, progress.steps, m.loss, m.auxiliary,
               m.gradient_norm, m.learning_rate, m.tokens_per_second, 100 * m.peak_share,
               Duration(progress.seconds_left), terminal_ ? "\33[K" : "\n");
    std::fflush(stderr);
    open_ = terminal_;
  }
  // A sentence on a line of its own.
  void Say(const std::string& sentence) {
    End();
    fmt::print(stderr, "{}\n", sentence);
  }
  void End() {
    if (open_) fmt::print(stderr, "\n");
    open_ = false;
  }

 private:
  static constexpr std::chrono::milliseconds kRedraw{200};
  static constexpr std::chrono::milliseconds kLog{10'000};
  const bool terminal_ = isatty(STDERR_FILENO) == 1;
  bool shown_ = false;
  bool open_ = false;  // a redrawn line stands unfinished
  std::chrono::steady_clock::time_point last_shown_;
};

Result<TrainingConfig> LoadConfig(const TrainCommand& command) {
  if (command.config.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "a config is needed, as in fulmen train CONFIG.toml; fulmen train --print-config "
                "prints one to start from");
  }
  return ReadTrainingConfig(command.config, command.overrides);
}

Status RunTraining(const TrainingConfig& config, const TrainCommand& command) {
  // A file that grows past a limit is an error to tell, as a full disk is, not a reason to die.
  std::signal(SIGXFSZ, SIG_IGN);
  FULMEN_ASSIGN(const std::unique_ptr<Communicator> ranks, OpenCommunicator());
  if (command.dry_run) {
    FULMEN_ASSIGN(const std::string description, DescribeRun(config, ranks->size()));
    if (ranks->rank() == 0) fmt::print("{}", description);
    return ranks->Barrier();
  }
  ThreadPool pool(static_cast<int>(config.run.threads));
  double peak = MeasureFmaFlops(pool);
  FULMEN_TRY(ranks->AllReduceSum({&peak, 1}));
  const InterruptGuard interrupt;
  ProgressLine line;
  TrainingOptions options;
  options.resume = command.resume;
  options.peak_flops = peak;
  options.stop = &interrupt.flag();
  options.progress = [&](const TrainingProgress& progress) { line.Show(progress); };
  options.say = [&](const std::string& sentence) { line.Say(sentence); };
  Status status = Train(config, options, pool, *ranks);
  line.End();
  return status;
}

Status RunTrain(const TrainCommand& command) {
  if (command.print_config && command.config.empty()) {
    fmt::print("{}", WriteTrainingConfig(ExampleTrainingConfig()));
    return {};
  }
  FULMEN_ASSIGN(const TrainingConfig config, LoadConfig(command));
  if (command.print_config) {
    fmt::print("{}", WriteTrainingConfig(config));
    return {};
  }
  return RunTraining(config, command);
}

// What CLI11 does not know: the config and flags of stages, whose names are the config's.
Status TakeExtras(const std::vector<std::string>& extras, TrainCommand& command) {
  for (size_t i = 0; i < extras.size(); ++i) {
    const std::string& word = extras[i];
    if (!word.starts_with("--")) {
      if (!command.config.empty()) {
        return Fail(ErrorCode::kInvalidArgument, "one config is expected, found {} and {}",
                    command.config, word);
      }
      command.config = word;
      continue;
    }
    if (const size_t equals = word.find('='); equals != std::string::npos) {
      command.overrides.emplace_back(word.substr(2, equals - 2), word.substr(equals + 1));
    } else if (i + 1 < extras.size()) {
      command.overrides.emplace_back(word.substr(2), extras[++i]);
    } else {
      return Fail(ErrorCode::kInvalidArgument, "{} needs a value", word);
    }
  }
  return {};
}

void AddFieldFlags(CLI::App& train, const std::shared_ptr<TrainCommand>& command) {
  TrainingConfig defaults;
  for (const Section& section : TrainingSections(defaults)) {
    std::string group = fmt::format("[{}] {}", section.name, section.documentation);
    group.pop_back();  // CLI11 writes a colon where the documentation has its full stop
    for (const Field& field : section.fields) {
      const std::string name = fmt::format("{}.{}", section.name, field.name);
      train
          .add_option_function<std::string>(
              "--" + name,
              [command, name](const std::string& value) {
                command->overrides.emplace_back(name, value);
              },
              fmt::format("{} (default {})", field.documentation, FormatField(field.value)))
          ->type_name("")
          ->group(group);
    }
  }
}

}  // namespace

void AddTrainRun(CLI::App& train) {
  auto command = std::make_shared<TrainCommand>();
  train.add_flag("--resume", command->resume,
                 "Go on with the run in the output folder, from its newest checkpoint");
  train.add_option_function<std::string>(
      "--out",
      [command](const std::string& folder) {
        command->overrides.emplace_back("output.folder", folder);
      },
      "Folder of the run, in place of the config's output.folder");
  train.add_flag("--dry-run", command->dry_run,
                 "Check the config and the data, and say what would be trained");
  train.add_flag("--print-config", command->print_config,
                 "Print the config with every field documented; without CONFIG one to start from");
  AddFieldFlags(train, command);
  train.allow_extras();
  train.callback([command, &train] {
    if (!train.get_subcommands().empty()) return;
    RunOrExit([&]() -> Status {
      FULMEN_TRY(TakeExtras(train.remaining(), *command));
      return RunTrain(*command);
    });
  });
}

}  // namespace fulmen
