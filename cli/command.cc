#include "cli/command.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>

#include "base/ascii.h"
#include "base/console.h"
#include "base/nearest_name.h"
#include "base/printable.h"
#include "cli/help.h"
#include "cli/option_file.h"

namespace fulmen {
namespace {

constexpr int kUsageStatus = 2;

tl::unexpected<Error> Refuse(std::string message) {
  return tl::unexpected<Error>(Error{ErrorCode::kInvalidArgument, std::move(message)});
}

// "a, b or c".
std::string Alternatives(const std::vector<std::string>& words) {
  if (words.size() == 1) return words.front();
  return fmt::format("{} or {}", fmt::join(words.begin(), words.end() - 1, ", "), words.back());
}

// "did you mean", or nothing when no name is near.
std::string Suggestion(std::string_view name, const std::vector<std::string_view>& known) {
  if (known.empty()) return "";
  const std::string_view nearest = NearestName(name, known);
  return MayMean(name, nearest) ? fmt::format("; did you mean {}?", nearest) : "";
}

// The choice that `value` names, as it is spelled there; null where there is none.
const std::string* FindChoice(const Option& option, const std::string& value) {
  const auto found = std::ranges::find_if(option.choices, [&](const std::string& choice) {
    return choice == value || (option.any_case && LowerCase(choice) == LowerCase(value));
  });
  return found == option.choices.end() ? nullptr : &*found;
}

std::string SuggestedChoice(const Option& option, const std::string& value) {
  std::vector<std::string> lower;
  for (const std::string& choice : option.choices) lower.push_back(LowerCase(choice));
  const std::vector<std::string_view> known(lower.begin(), lower.end());
  const std::string_view nearest = NearestName(LowerCase(value), known);
  if (!MayMean(LowerCase(value), nearest)) return "";
  const auto at = std::ranges::find(known, nearest) - known.begin();
  return fmt::format("; did you mean {}?", option.choices[static_cast<size_t>(at)]);
}

// "no argument", "one argument", "3 arguments".
std::string ArgumentCount(size_t count) {
  if (count < 2) return count == 0 ? "no argument" : "one argument";
  return fmt::format("{} arguments", count);
}

}  // namespace

Option& Option::Choices(std::vector<std::string> values) {
  choices = std::move(values);
  return *this;
}

Option& Option::Names(std::vector<std::string> values) {
  any_case = true;
  return Choices(std::move(values));
}

Option& Option::Completes(Completion with) {
  completion = with;
  return *this;
}

Option& Option::Default(std::string what, std::string here) {
  default_value = std::move(what);
  default_here = std::move(here);
  return *this;
}

Option& Option::Required() {
  required = true;
  default_value.clear();
  return *this;
}

Option& Option::Several() {
  several = true;
  return *this;
}

Option& Option::Excludes(std::initializer_list<const char*> names) {
  excluded.assign(names.begin(), names.end());
  return *this;
}

Option& Option::Needs(std::initializer_list<const char*> names) {
  needed.assign(names.begin(), names.end());
  return *this;
}

Command::Command(std::string path, std::string summary)
    : path_(std::move(path)), summary_(std::move(summary)) {
  Add("-h,--help", help_, "Show this help");
}

Command& Command::AddCommand(const std::string& name, std::string summary) {
  return *commands_.emplace_back(std::make_unique<Command>(path_ + " " + name, std::move(summary)));
}

Option& Command::AddOption(std::string_view spec, std::string help,
                           std::function<Status(const std::string&)> take) {
  Option& option = *options_.emplace_back(std::make_unique<Option>());
  if (spec.size() > 2 && spec[2] == ',') {
    option.letter = spec.substr(0, 2);
    spec.remove_prefix(3);
  }
  const size_t space = std::min(spec.find(' '), spec.size());
  option.name = spec.substr(0, space);
  option.value = option.is_argument() ? spec : spec.substr(std::min(space + 1, spec.size()));
  if (option.value == "FILE") option.completion = Completion::kFiles;
  if (option.value == "FOLDER") option.completion = Completion::kFolders;
  option.help = std::move(help);
  option.group = option.is_argument() ? "Arguments" : group_;
  option.take = std::move(take);
  return option;
}

Option& Command::Add(std::string_view spec, bool& flag, std::string help) {
  return AddOption(spec, std::move(help), [&flag](const std::string&) -> Status {
    flag = true;
    return {};
  });
}

Option& Command::Add(std::string_view spec, std::string& text, std::string help) {
  return AddOption(spec, std::move(help),
                   [&text](const std::string& value) -> Status {
                     text = value;
                     return {};
                   })
      .Default(text);
}

Option& Command::Add(std::string_view spec, std::optional<std::string>& text, std::string help) {
  return AddOption(spec, std::move(help), [&text](const std::string& value) -> Status {
    text = value;
    return {};
  });
}

Option& Command::Add(std::string_view spec, std::vector<std::string>& texts, std::string help) {
  return AddOption(spec, std::move(help),
                   [&texts](const std::string& value) -> Status {
                     texts.push_back(value);
                     return {};
                   })
      .Several();
}

Option& Command::Add(std::string_view spec, std::function<Status(const std::string&)> take,
                     std::string help) {
  return AddOption(spec, std::move(help), std::move(take));
}

std::vector<const Command*> Command::commands() const {
  std::vector<const Command*> commands;
  for (const auto& command : commands_) commands.push_back(command.get());
  return commands;
}

std::vector<const Option*> Command::options() const {
  std::vector<const Option*> options;
  for (const auto& option : options_) {
    if (!option->is_argument()) options.push_back(option.get());
  }
  return options;
}

std::vector<const Option*> Command::arguments() const {
  std::vector<const Option*> arguments;
  for (const auto& option : options_) {
    if (option->is_argument()) arguments.push_back(option.get());
  }
  return arguments;
}

std::pair<Command*, size_t> Command::Find(std::span<const std::string> words) {
  Command* command = this;
  size_t taken = 0;
  while (taken < words.size()) {
    const auto found = std::ranges::find(command->commands_, words[taken],
                                         [](const auto& each) { return each->name(); });
    if (found == command->commands_.end()) break;
    command = found->get();
    ++taken;
  }
  return {command, taken};
}

const Option* Command::FindOption(std::string_view name) const {
  const auto found = std::ranges::find_if(options_, [name](const auto& option) {
    return name == option->name || (name == option->letter && !name.empty());
  });
  return found == options_.end() ? nullptr : found->get();
}

const Command::Given* Command::FindGiven(std::string_view name) const {
  const auto found = std::ranges::find(
      given_, name, [](const Given& given) { return std::string_view(given.option->name); });
  return found == given_.end() ? nullptr : &*found;
}

tl::unexpected<Error> Command::Unknown(std::string_view what, std::string_view name) const {
  std::vector<std::string_view> known;
  for (const Option* option : options()) known.push_back(option->name);
  return Refuse(fmt::format("{} has no option {}{}", path_, what, Suggestion(name, known)));
}

Status Command::Take(const Option& option, const std::string& typed, const std::string& value) {
  const Given* before = FindGiven(option.name);
  if (before != nullptr && !option.several && !option.value.empty()) {
    return Refuse(
        fmt::format("{} may be given once, found \"{}\" and \"{}\"", typed, before->value, value));
  }
  given_.push_back({&option, typed, value});
  const std::string* choice = FindChoice(option, value);
  if (!option.choices.empty() && choice == nullptr) {
    return Refuse(fmt::format("{} should be {}, found \"{}\"{}", typed,
                              Alternatives(option.choices), value,
                              option.any_case ? SuggestedChoice(option, value) : ""));
  }
  Status status = option.take(choice == nullptr ? value : *choice);
  if (!status) return Refuse(fmt::format("{} {}", typed, status.error().message));
  return status;
}

Result<std::string> Command::ValueAfter(const std::string& typed,
                                        std::span<const std::string> words, size_t& next) const {
  if (next == words.size()) {
    return Refuse(fmt::format("{} should be followed by a value, found the end", typed));
  }
  const std::string& value = words[next++];
  if (value.size() > 2 && FindOption(value) != nullptr) {
    return Refuse(fmt::format(
        "{} should be followed by a value, found the option {} ({}{}{} if that is meant)", typed,
        value, typed, typed.size() > 2 ? "=" : "", value));
  }
  return value;
}

Status Command::TakeLong(std::span<const std::string> words, size_t& next) {
  const std::string& word = words[next++];
  const size_t equals = word.find('=');
  const std::string name = word.substr(0, equals);
  const Option* option = FindOption(name);
  const bool other = option == nullptr && others_ && name.starts_with(others_prefix_);
  if (option == nullptr && !other) return Unknown(name, name);
  if (option != nullptr && option->value.empty()) {
    if (equals == std::string::npos) return Take(*option, name, "");
    return Refuse(fmt::format("{} takes no value, found \"{}\"", name, word.substr(equals + 1)));
  }
  std::string value;
  if (equals != std::string::npos) {
    value = word.substr(equals + 1);
  } else {
    FULMEN_ASSIGN(value, ValueAfter(name, words, next));
  }
  return other ? others_(name, value) : Take(*option, name, value);
}

Status Command::TakeLetters(std::span<const std::string> words, size_t& next) {
  const std::string& word = words[next++];
  if (FindOption("-" + word) != nullptr) return Unknown(word, "-" + word);
  for (size_t i = 1; i < word.size(); ++i) {
    const std::string typed = {'-', word[i]};
    const Option* option = FindOption(typed);
    if (option == nullptr) return Unknown(word, "-" + word);
    if (option->value.empty()) {
      FULMEN_TRY(Take(*option, typed, ""));
      continue;
    }
    std::string value = word.substr(i + 1);
    if (value.empty()) {
      FULMEN_ASSIGN(value, ValueAfter(typed, words, next));
    }
    return Take(*option, typed, value);
  }
  return {};
}

Status Command::TakeArgument(const std::string& word) {
  for (const Option* argument : arguments()) {
    if (argument->several || FindGiven(argument->name) == nullptr) {
      return Take(*argument, argument->name, word);
    }
  }
  if (!commands_.empty() && arguments().empty()) {
    std::vector<std::string> names;
    for (const auto& command : commands_) names.push_back(command->name());
    return Refuse(fmt::format("{} has no command {}{}", path_, word,
                              Suggestion(word, {names.begin(), names.end()})));
  }
  return Refuse(fmt::format("{} takes {}, found \"{}\" besides", path_,
                            ArgumentCount(arguments().size()), word));
}

Option& Command::AddConfigFile() {
  return Add("--config FILE", config_file_,
             "A TOML file with options by their long names, as in port = 8080; what the command "
             "line gives goes before it")
      .Completes(Completion::kFiles);
}

Status Command::TakeConfigFile() {
  FULMEN_ASSIGN(const auto values, ReadOptionFile(config_file_));
  const size_t typed = given_.size();
  for (const auto& [key, value] : values) {
    const std::string name = "--" + key;
    const Option* option = FindOption(name);
    if (option == nullptr || option->take == nullptr || name == "--config" || name == "--help") {
      return Refuse(fmt::format("{}: there is no option {}", config_file_, key));
    }
    const bool given = std::any_of(given_.begin(), given_.begin() + static_cast<int64_t>(typed),
                                   [&](const Given& each) { return each.option == option; });
    if (given) continue;
    if (option->value.empty() != value.empty()) {
      return Refuse(fmt::format("{}: {} {}", config_file_, key,
                                option->value.empty() ? "is true or false" : "has no value"));
    }
    FULMEN_TRY(Take(*option, name, value));
  }
  return {};
}

Status Command::CheckGiven() const {
  for (const Given& given : given_) {
    for (const std::string& name : given.option->excluded) {
      const Given* other = FindGiven(name);
      if (other == nullptr) continue;
      const auto [first, second] = std::minmax({&given, other});
      return Refuse(fmt::format("{} and {} exclude each other", first->typed, second->typed));
    }
    const std::vector<std::string>& needed = given.option->needed;
    if (!needed.empty() && std::ranges::none_of(needed, [&](const std::string& name) {
          return FindGiven(name) != nullptr;
        })) {
      return Refuse(fmt::format("{} does nothing without {}", given.typed, Alternatives(needed)));
    }
  }
  for (const auto& option : options_) {
    if (!option->required || FindGiven(option->name) != nullptr) continue;
    return Refuse(fmt::format("{}{} is missing: {}", option->name,
                              option->is_argument() ? "" : " " + option->value, option->help));
  }
  return {};
}

Result<bool> Command::Parse(std::span<const std::string> words) {
  bool only_arguments = false;
  for (size_t next = 0; next < words.size() && !help_;) {
    const std::string& word = words[next];
    if (only_arguments || word == "-" || !word.starts_with('-')) {
      FULMEN_TRY(TakeArgument(word));
      ++next;
    } else if (word == "--") {
      only_arguments = true;
      ++next;
    } else {
      FULMEN_TRY(word.starts_with("--") ? TakeLong(words, next) : TakeLetters(words, next));
    }
  }
  if (help_) return false;
  if (!config_file_.empty()) FULMEN_TRY(TakeConfigFile());
  FULMEN_TRY(CheckGiven());
  if (!run_) return Refuse(fmt::format("a command should follow {}", path_));
  if (check_) FULMEN_TRY(check_());
  return true;
}

Result<int> RunCommandLine(Command& program, std::span<const std::string> words) {
  const auto [command, taken] = program.Find(words);
  const Result<bool> parsed = command->Parse(words.subspan(taken));
  if (!parsed) {
    const std::string commands = command->commands().empty() ? "" : CommandList(*command);
    Say("fulmen: {}\n{}Try {} --help\n", PrintableMessage(parsed.error()), commands,
        command->path());
    return kUsageStatus;
  }
  if (*parsed) {
    FULMEN_TRY(command->Run());
  } else {
    PrintText(HelpText(*command));
  }
  return EXIT_SUCCESS;
}

}  // namespace fulmen
