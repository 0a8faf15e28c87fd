#include "cli/config_arguments.h"

namespace fulmen {

Status TakeExtras(const std::vector<std::string>& extras, ConfigArguments& arguments) {
  for (size_t i = 0; i < extras.size(); ++i) {
    const std::string& word = extras[i];
    if (!word.starts_with("--")) {
      if (!arguments.config.empty()) {
        return Fail(ErrorCode::kInvalidArgument, "one config is expected, found {} and {}",
                    arguments.config, word);
      }
      arguments.config = word;
      continue;
    }
    if (const size_t equals = word.find('='); equals != std::string::npos) {
      arguments.overrides.emplace_back(word.substr(2, equals - 2), word.substr(equals + 1));
    } else if (i + 1 < extras.size()) {
      arguments.overrides.emplace_back(word.substr(2), extras[++i]);
    } else {
      return Fail(ErrorCode::kInvalidArgument, "{} needs a value", word);
    }
  }
  return {};
}

Result<TrainingConfig> LoadConfig(const ConfigArguments& arguments, const std::string& command) {
  if (arguments.config.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "a config is needed, as in {} CONFIG.toml; fulmen train --print-config prints one "
                "to start from",
                command);
  }
  return ReadTrainingConfig(arguments.config, arguments.overrides);
}

}  // namespace fulmen
