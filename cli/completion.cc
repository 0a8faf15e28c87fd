#include "cli/completion.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <functional>

namespace fulmen {
namespace {

// Calls body for `command` and every command below it.
void ForEach(const Command& command, const std::function<void(const Command&)>& body) {
  body(command);
  for (const Command* each : command.commands()) ForEach(*each, body);
}

// A word of a shell, whatever is in it. Fish unquotes \' within quotes, the others do not.
std::string Quoted(std::string_view text, bool fish = false) {
  std::string quoted = "'";
  for (const char c : text) {
    if (fish && (c == '\'' || c == '\\')) {
      quoted += '\\';
      quoted += c;
    } else if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

// The help up to its first pause: lists of a shell have little room.
std::string Short(const std::string& help) { return help.substr(0, help.find_first_of(";(")); }

std::vector<std::string> CommandNames(const Command& command) {
  std::vector<std::string> names;
  for (const Command* each : command.commands()) names.push_back(each->name());
  return names;
}

// ---- bash ----

std::string BashValues(const Option& option) {
  if (!option.choices.empty()) return fmt::format("{}", fmt::join(option.choices, " "));
  if (option.completion == Completion::kFiles) return "FILES";
  return option.completion == Completion::kFolders ? "FOLDERS" : "NOTHING";
}

constexpr const char* kBashFunctions = R"bash(
_fulmen() {
  local command=fulmen current=$2 previous=$3 values i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    [[ " $(_fulmen_commands "$command") " == *" ${COMP_WORDS[i]} "* ]] || break
    command+=" ${COMP_WORDS[i]}"
  done
  # The shell takes --name=value for three words.
  if [[ $current == = ]]; then
    current='' previous=${COMP_WORDS[COMP_CWORD - 1]}
  elif [[ $previous == = ]]; then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  values=$(_fulmen_values "$command" "$previous")
  if [[ -z $values && $current != -* ]]; then
    values=$(_fulmen_values "$command" '')
    ((i < COMP_CWORD)) || values="$(_fulmen_commands "$command") $values"
  fi
  COMPREPLY=()
  case $values in
    *FILES) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    *FOLDERS) mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    '') mapfile -t COMPREPLY < <(compgen -W "$(_fulmen_options "$command")" -- "$current") ;;
  esac
  case $values in
    *FILES|*FOLDERS) compopt -o filenames 2>/dev/null ;;
  esac
  values=${values%FILES} values=${values%FOLDERS} values=${values%NOTHING}
  if [[ -n ${values// /} ]]; then
    mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$values" -- "$current")
  fi
}
complete -F _fulmen fulmen
)bash";

// ---- zsh ----

std::string ZshEscaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string ZshAction(const Option& option) {
  if (!option.choices.empty()) return fmt::format("({})", fmt::join(option.choices, " "));
  if (option.completion == Completion::kFiles) return "_files";
  return option.completion == Completion::kFolders ? "_files -/" : " ";
}

std::string ZshOption(const Option& option) {
  const std::string text = fmt::format(
      "[{}]{}", ZshEscaped(Short(option.help)),
      option.value.empty() ? ""
                           : fmt::format(":{}:{}", ZshEscaped(option.value), ZshAction(option)));
  const bool flag = option.value.empty();
  const std::string several = option.several ? "*" : "";
  std::string specs = fmt::format(
      "    {}", Quoted(fmt::format("{}{}{}{}", several, option.name, flag ? "" : "=", text)));
  if (!option.letter.empty()) {
    specs += fmt::format(
        " {}", Quoted(fmt::format("{}{}{}{}", several, option.letter, flag ? "" : "+", text)));
  }
  return specs + " \\\n";
}

std::string ZshName(const Command& command) {
  std::string name = command.path();
  std::ranges::replace(name, ' ', '_');
  return "_" + name;
}

std::string ZshFunction(const Command& command) {
  std::string text = fmt::format("{}() {{\n", ZshName(command));
  const std::vector<const Command*> commands = command.commands();
  if (!commands.empty()) {
    std::string names;
    std::string cases;
    for (const Command* each : commands) {
      names += fmt::format(
          " {}", Quoted(fmt::format("{}:{}", each->name(), ZshEscaped(Short(each->summary())))));
      cases += fmt::format("    {}) shift words; ((CURRENT--)); {}; return ;;\n", each->name(),
                           ZshName(*each));
    }
    text += fmt::format(
        "  if ((CURRENT > 2)); then\n    case $words[2] in\n{}    esac\n  else\n"
        "    local -a commands=({})\n    _describe command commands\n  fi\n",
        cases, names);
  }
  text += "  _arguments -S \\\n";
  for (const Option* option : command.options()) text += ZshOption(*option);
  for (const Option* argument : command.arguments()) {
    text += fmt::format("    {} \\\n",
                        Quoted(fmt::format("{}:{}:{}", argument->several ? "*" : "",
                                           ZshEscaped(argument->name), ZshAction(*argument))));
  }
  return text + "    && return\n}\n\n";
}

// ---- fish ----

constexpr const char* kFishFunction = R"fish(
# Whether the command being typed is $argv[1], e.g. "train data".
function __fulmen_is
    set -l words (commandline -opc)
    set -l command ''
    for word in $words[2..-1]
        contains -- (string trim -- "$command $word") $__fulmen_commands; or break
        set command (string trim -- "$command $word")
    end
    test "$command" = "$argv[1]"
end
complete -c fulmen -f
)fish";

// The command without the program's name.
std::string FishPath(const Command& command) {
  const std::string& path = command.path();
  return path.substr(std::min(path.find(' '), path.size() - 1) + 1);
}

std::string FishValues(const Option& option) {
  if (!option.choices.empty()) {
    return fmt::format(" -x -a {}",
                       Quoted(fmt::format("{}", fmt::join(option.choices, " ")), true));
  }
  if (option.completion == Completion::kFiles) return " -F";
  return option.completion == Completion::kFolders ? " -x -a '(__fish_complete_directories)'" : "";
}

std::string FishLines(const Command& command, const std::string& path) {
  const std::string start = fmt::format("complete -c fulmen -n {}",
                                        Quoted(fmt::format("__fulmen_is \"{}\"", path), true));
  std::string text;
  for (const Command* each : command.commands()) {
    text +=
        fmt::format("{} -a {} -d {}\n", start, each->name(), Quoted(Short(each->summary()), true));
  }
  for (const Option* option : command.options()) {
    const std::string letter = option->letter.empty() ? "" : " -s " + option->letter.substr(1);
    text += fmt::format("{} -l {}{}{}{} -d {}\n", start, option->name.substr(2), letter,
                        option->value.empty() ? "" : " -r", FishValues(*option),
                        Quoted(Short(option->help), true));
  }
  for (const Option* argument : command.arguments()) {
    const std::string values = FishValues(*argument);
    if (!values.empty()) text += fmt::format("{}{}\n", start, values);
  }
  return text;
}

}  // namespace

std::string BashCompletion(const Command& program) {
  std::string commands;
  std::string options;
  std::string values;
  ForEach(program, [&](const Command& command) {
    const std::string path = Quoted(command.path());
    if (!command.commands().empty()) {
      commands += fmt::format("    {}) echo {} ;;\n", path,
                              Quoted(fmt::format("{}", fmt::join(CommandNames(command), " "))));
    }
    std::vector<std::string> names;
    for (const Option* option : command.options()) {
      names.push_back(option->name);
      if (option->value.empty()) continue;
      std::string patterns = Quoted(command.path() + " " + option->name);
      if (!option->letter.empty()) {
        patterns +=
            fmt::format("|{}", Quoted(fmt::format("{} {}", command.path(), option->letter)));
      }
      values += fmt::format("    {}) echo {} ;;\n", patterns, Quoted(BashValues(*option)));
    }
    options +=
        fmt::format("    {}) echo {} ;;\n", path, Quoted(fmt::format("{}", fmt::join(names, " "))));
    for (const Option* argument : command.arguments()) {
      values += fmt::format("    {}) echo {} ;;\n", Quoted(command.path() + " "),
                            Quoted(BashValues(*argument)));
    }
  });
  return fmt::format(
      "# Completion of fulmen for bash, written by `fulmen completion bash`.\n\n"
      "_fulmen_commands() {{\n  case $1 in\n{}  esac\n}}\n\n"
      "_fulmen_options() {{\n  case $1 in\n{}  esac\n}}\n\n"
      "# Of the option $2, or of arguments where that is empty: words, or what kind of path.\n"
      "_fulmen_values() {{\n  case \"$1 $2\" in\n{}  esac\n}}\n{}",
      commands, options, values, kBashFunctions);
}

std::string ZshCompletion(const Command& program) {
  std::string text =
      "#compdef fulmen\n# Completion of fulmen for zsh, written by `fulmen completion "
      "zsh`.\n\n";
  ForEach(program, [&](const Command& command) { text += ZshFunction(command); });
  // Autoloaded, the file is the function; sourced, it has to say what the function is for.
  return text +
         "if [[ $funcstack[1] == _fulmen ]]; then\n  _fulmen \"$@\"\nelse\n"
         "  compdef _fulmen fulmen\nfi\n";
}

std::string FishCompletion(const Command& program) {
  std::string paths;
  std::string lines;
  ForEach(program, [&](const Command& command) {
    const std::string path = &command == &program ? "" : FishPath(command);
    if (!path.empty()) paths += fmt::format(" {}", Quoted(path, true));
    lines += FishLines(command, path);
  });
  return fmt::format(
      "# Completion of fulmen for fish, written by `fulmen completion fish`.\n\n"
      "set -g __fulmen_commands{}\n{}{}",
      paths, kFishFunction, lines);
}

}  // namespace fulmen
