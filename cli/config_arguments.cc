#include "cli/config_arguments.h"

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "train/training_fields.h"

namespace fulmen {

namespace {

// Numbers outside their range are errors of usage, told before anything is read.
Status CheckNumber(const Field& field, const std::string& value) {
  if (std::holds_alternative<int64_t*>(field.value)) {
    FULMEN_TRY(ParseNumber<int64_t>(
        value, {static_cast<int64_t>(field.low), static_cast<int64_t>(field.high)}));
  } else if (std::holds_alternative<double*>(field.value)) {
    FULMEN_TRY(ParseNumber<double>(value, {field.low, field.high}));
  }
  return {};
}

// The values a field may have, where they are few.
std::vector<std::string> ChoicesOf(const Field& field) {
  if (std::holds_alternative<bool*>(field.value)) return {"true", "false"};
  return {field.choices.begin(), field.choices.end()};
}

// The word for a field's value in the help.
std::string WordOf(const Field& field) {
  if (!ChoicesOf(field).empty()) return "NAME";
  // All texts of a config that are free name folders.
  if (std::holds_alternative<std::string*>(field.value)) return "FOLDER";
  if (std::holds_alternative<int64_t*>(field.value)) return "N";
  return std::holds_alternative<double*>(field.value) ? "X" : "[...]";
}

}  // namespace

Option& AddConfigArguments(Command& command, ConfigArguments& arguments) {
  command
      .Add(
          "--out FOLDER",
          [&arguments](const std::string& folder) -> Status {
            arguments.overrides.emplace_back("output.folder", folder);
            return {};
          },
          "Folder to write, in place of the config's output.folder")
      .Excludes({"--output.folder"});
  return command
      .Add("CONFIG", arguments.config,
           "The config, a TOML file; fulmen train --print-config prints one to start "
           "from")
      .Completes(Completion::kFiles);
}

void AddFieldOptions(Command& command, ConfigArguments& arguments) {
  TrainingConfig defaults;
  for (const Section& section : TrainingSections(defaults)) {
    std::string heading = fmt::format("[{}] {}", section.name, section.documentation);
    heading.pop_back();  // its full stop, since a heading gets a colon
    command.Group(heading);
    for (const Field& field : section.fields) {
      const std::string name = fmt::format("{}.{}", section.name, field.name);
      command
          .Add(
              fmt::format("--{} {}", name, WordOf(field)),
              [&arguments, name, field](const std::string& value) -> Status {
                FULMEN_TRY(CheckNumber(field, value));
                arguments.overrides.emplace_back(name, value);
                return {};
              },
              std::string(field.documentation))
          .Choices(ChoicesOf(field))
          .Default(FormatField(field.value));
    }
  }
  command.Others("--stages.", [&arguments](const std::string& name, const std::string& value) {
    arguments.overrides.emplace_back(name.substr(2), value);
    return Status();
  });
}

void AddStartOptions(Command& command, RunStart& start, std::string resume_help) {
  const auto set = [&start](RunStart value) {
    return [&start, value](const std::string&) -> Status {
      start = value;
      return {};
    };
  };
  command.Add("--resume", set(RunStart::kResume), std::move(resume_help));
  command
      .Add("--resume-or-start", set(RunStart::kResumeOrNew),
           "The same, or begin where there is nothing to go on from")
      .Excludes({"--resume"});
}

Status ExitIfStopped(const Status& status) {
  if (!status && status.error().code == ErrorCode::kCancelled) {
    throw ExitWith{InterruptGuard::ExitStatus()};
  }
  return status;
}

}  // namespace fulmen
