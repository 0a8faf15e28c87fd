#include "cli/man_page.h"

#include "cli/help.h"

namespace fulmen {
namespace {

// Text that roff shows as it is.
std::string Escaped(std::string_view text) {
  std::string escaped;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && (c == '.' || c == '\'')) escaped += "\\&";
    line_begins = c == '\n';
    if (c == '\\') {
      escaped += "\\e";
    } else if (c == '-') {
      escaped += "\\-";
    } else if (c == '"') {
      escaped += "\\(dq";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string Entries(const Command& command) {
  std::string text;
  const auto append = [&](const Option& option) {
    text += fmt::format(".TP\n\\fB{}\\fR\n{}\n", Escaped(OptionTitle(option)),
                        Escaped(OptionText(option, /*here=*/false)));
  };
  for (const Option* argument : command.arguments()) append(*argument);
  for (const std::string& heading : Headings(command)) {
    if (heading != "Options") text += fmt::format(".PP\n{}:\n", Escaped(heading));
    for (const Option* option : command.options()) {
      if (option->group == heading) append(*option);
    }
  }
  return text;
}

std::string CommandSection(const Command& command) {
  std::string text = fmt::format(".SS \"{}\"\n{}.\n{}", Escaped(UsageOf(command)),
                                 Escaped(command.summary()), Entries(command));
  if (!command.notes().empty()) text += fmt::format(".PP\n{}\n", Escaped(command.notes()));
  for (const std::string& example : command.examples()) {
    text += fmt::format(".PP\n.EX\n{}\n.EE\n", Escaped(example));
  }
  for (const Command* each : command.commands()) text += CommandSection(*each);
  return text;
}

constexpr const char* kEnd = R"(.SH STANDARD INPUT AND OUTPUT
Standard output is data, standard error is talk.
Where a file is to be read, \fB\-\fR is standard input.
.SH EXIT STATUS
.TP
0
The command did what it was asked.
.TP
1
It could not; one sentence on standard error tells why.
.TP
2
The command line makes no sense; nothing was done.
.TP
128 + N
Signal N ended it, e.g. 130 after Ctrl\-C.
.SH ENVIRONMENT
.TP
FULMEN_MODEL
Folder or .gguf file of the model when none is named.
.TP
FULMEN_KERNELS
ref or cpu: which implementation of the operations computes.
)";

}  // namespace

std::string ManPage(const Command& program, const std::string& version) {
  std::string text = fmt::format(
      ".\\\" Written by `fulmen manual`.\n"
      ".TH FULMEN 1 \"\" \"fulmen {}\" \"User Commands\"\n"
      ".SH NAME\nfulmen \\- run, measure and train MiniMax\\-01 language models\n"
      ".SH SYNOPSIS\n.B fulmen\nCOMMAND [OPTIONS]\n.SH DESCRIPTION\n{}\n",
      Escaped(version), Escaped(program.summary()));
  text += Entries(program) + ".SH COMMANDS\n";
  for (const Command* command : program.commands()) text += CommandSection(*command);
  return text + kEnd;
}

}  // namespace fulmen
