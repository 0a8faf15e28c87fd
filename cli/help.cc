#include "cli/help.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace fulmen {
namespace {

constexpr size_t kWidth = 80;

// `text` in lines that fit behind an indentation; the first one is not indented. Line ends in the
// text are kept.
std::string Wrapped(std::string_view text, size_t indentation) {
  std::string wrapped;
  size_t column = indentation;
  while (!text.empty()) {
    const size_t length = std::min(text.find_first_of(" \n"), text.size());
    if (column > indentation && column + 1 + length > kWidth) {
      wrapped += '\n' + std::string(indentation, ' ');
      column = indentation;
    }
    if (column > indentation) {
      wrapped += ' ';
      ++column;
    }
    wrapped += text.substr(0, length);
    column += length;
    const bool line_ends = length < text.size() && text[length] == '\n';
    if (line_ends) {
      wrapped += '\n' + std::string(indentation, ' ');
      column = indentation;
    }
    text.remove_prefix(std::min(length + 1, text.size()));
  }
  return wrapped;
}

std::string Entry(const std::string& title, const std::string& text) {
  constexpr size_t kColumn = 26;
  const std::string gap = title.size() + 4 > kColumn ? '\n' + std::string(kColumn, ' ')
                                                     : std::string(kColumn - 2 - title.size(), ' ');
  return fmt::format("  {}{}{}\n", title, gap, Wrapped(text, kColumn));
}

std::string OptionSection(const std::string& heading, const std::vector<const Option*>& options) {
  std::string text;
  for (const Option* option : options) {
    if (option->group == heading) text += Entry(OptionTitle(*option), OptionText(*option, true));
  }
  return text.empty() ? "" : fmt::format("\n{}:\n{}", Wrapped(heading, 0), text);
}

}  // namespace

std::string UsageOf(const Command& command) {
  std::string line = command.path();
  if (!command.commands().empty()) {
    line += command.arguments().empty() ? " COMMAND" : " [COMMAND]";
  }
  if (command.runs()) line += " [OPTIONS]";
  for (const Option* argument : command.arguments()) {
    const std::string dots = argument->several ? "..." : "";
    line += argument->required ? fmt::format(" {}{}", argument->name, dots)
                               : fmt::format(" [{}{}]", argument->name, dots);
  }
  return line;
}

std::string OptionTitle(const Option& option) {
  if (option.is_argument()) return option.name;
  const std::string letter = option.letter.empty() ? "" : option.letter + ", ";
  return letter + option.name + (option.value.empty() ? "" : " " + option.value);
}

std::string OptionText(const Option& option, bool here) {
  std::vector<std::string> notes;
  if (!option.choices.empty()) {
    notes.push_back(fmt::format("one of {}", fmt::join(option.choices, ", ")));
  }
  if (!option.default_value.empty()) {
    notes.push_back(fmt::format(
        "default: {}{}", option.default_value,
        here && !option.default_here.empty() ? fmt::format(", here {}", option.default_here) : ""));
  }
  if (option.required) notes.emplace_back("required");
  if (option.several) notes.emplace_back("may be given several times");
  return notes.empty() ? option.help : fmt::format("{} ({})", option.help, fmt::join(notes, "; "));
}

std::vector<std::string> Headings(const Command& command) {
  std::vector<std::string> headings;
  for (const Option* option : command.options()) {
    if (!option->group.empty() && std::ranges::find(headings, option->group) == headings.end()) {
      headings.push_back(option->group);
    }
  }
  return headings;
}

std::string CommandList(const Command& command) {
  std::string text = "Commands:\n";
  for (const Command* each : command.commands()) text += Entry(each->name(), each->summary());
  return text;
}

std::string HelpText(const Command& command) {
  std::string text =
      fmt::format("{}\n\nUsage: {}\n", Wrapped(command.summary(), 0), UsageOf(command));
  if (!command.commands().empty()) text += fmt::format("\n{}", CommandList(command));
  text += OptionSection("Arguments", command.arguments());
  for (const std::string& heading : Headings(command)) {
    text += OptionSection(heading, command.options());
  }
  if (!command.notes().empty()) text += fmt::format("\n{}\n", Wrapped(command.notes(), 0));
  text += command.examples().size() == 1 ? "\nExample:\n" : "\nExamples:\n";
  for (const std::string& example : command.examples()) text += fmt::format("  {}\n", example);
  return text;
}

}  // namespace fulmen
