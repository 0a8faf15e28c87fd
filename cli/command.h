// A command as a table: its options and arguments, each with the place its value goes to. Parsing,
// usage errors, help, shell completion and the man page are all made from it.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/parse_number.h"
#include "base/status.h"

namespace fulmen {

// What a shell offers for a value, besides choices.
enum class Completion : uint8_t { kNothing, kFiles, kFolders };

// An option, or an argument that has its place instead of a name.
struct Option {
  std::string name;    // "--max-tokens"; of an argument the word for it, "PROMPT"
  std::string letter;  // "-n" where that means the same
  std::string value;   // the word for its value: "N", "FILE", "FOLDER"; empty for a flag
  std::string help;
  std::string group = "Options";                 // heading in the help
  std::vector<std::string> choices;              // the values it may have, where they are few
  bool any_case = false;                         // of letters in them
  Completion completion = Completion::kNothing;  // set by the word FILE or FOLDER, too
  std::string default_value;
  std::string default_here;  // what a default that is computed comes to on this machine
  bool required = false;
  bool several = false;
  std::vector<std::string> excluded;  // names of options that cannot be given with it
  std::vector<std::string> needed;    // it does nothing unless one of these is given
  // Takes in a value ("" of a flag). The error reads on after the option's name.
  std::function<Status(const std::string&)> take;

  bool is_argument() const { return !name.starts_with('-'); }

  Option& Choices(std::vector<std::string> values);
  // Choices in upper or lower case, of which the one meant is suggested where none is given; the
  // target gets them as they are spelled here.
  Option& Names(std::vector<std::string> values);
  Option& Completes(Completion with);
  Option& Default(std::string what, std::string here = "");
  Option& Required();
  Option& Several();
  Option& Excludes(std::initializer_list<const char*> names);
  Option& Needs(std::initializer_list<const char*> names);
};

class Command {
 public:
  // Takes in an option that is in no table, e.g. --stages.short.steps.
  using TakeOther = std::function<Status(const std::string& name, const std::string& value)>;

  // `path` is all one types to call it: "fulmen eval logits".
  Command(std::string path, std::string summary);
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  // References to commands and options stay good.
  Command& AddCommand(const std::string& name, std::string summary);

  // `spec` is "-n,--max-tokens N", "--json" for a flag, or "PROMPT" for an argument. What a target
  // holds when it is added is its default; targets must outlive the command. A vector takes every
  // one of several values.
  Option& Add(std::string_view spec, bool& flag, std::string help);
  Option& Add(std::string_view spec, std::string& text, std::string help);
  Option& Add(std::string_view spec, std::optional<std::string>& text, std::string help);
  Option& Add(std::string_view spec, std::vector<std::string>& texts, std::string help);
  Option& Add(std::string_view spec, std::function<Status(const std::string&)> take,
              std::string help);
  template <class T>
  requires std::integral<T> || std::floating_point<T> Option& Add(std::string_view spec, T& number,
                                                                  const std::string& help,
                                                                  Range<T> range = {}) {
    return AddNumber(spec, number, help, range).Default(fmt::format("{}", number));
  }
  template <class T>
  requires std::integral<T> || std::floating_point<T> Option& Add(std::string_view spec,
                                                                  std::optional<T>& number,
                                                                  const std::string& help,
                                                                  Range<T> range = {}) {
    return AddNumber(spec, number, help, range);
  }

  // Options added from now on stand under this heading.
  void Group(std::string heading) { group_ = std::move(heading); }
  // Options that begin with `prefix` and are in no table are not unknown but go there.
  void Others(std::string prefix, TakeOther take) {
    others_prefix_ = std::move(prefix);
    others_ = std::move(take);
  }
  void Notes(std::string text) { notes_ = std::move(text); }
  // Lines for a shell; each is shown in the help and run by the tests.
  void Examples(std::vector<std::string> lines) { examples_ = std::move(lines); }
  // --config FILE: options of a TOML file hold where the command line does not give them.
  Option& AddConfigFile();
  // What must hold among options once all are read; its error is one of usage.
  void Check(std::function<Status()> check) { check_ = std::move(check); }
  void Run(std::function<Status()> run) { run_ = std::move(run); }

  const std::string& path() const { return path_; }
  std::string name() const { return path_.substr(path_.rfind(' ') + 1); }
  const std::string& summary() const { return summary_; }
  const std::string& notes() const { return notes_; }
  const std::vector<std::string>& examples() const { return examples_; }
  std::vector<const Command*> commands() const;
  std::vector<const Option*> options() const;    // in the order they were added
  std::vector<const Option*> arguments() const;  // likewise
  // Whether it does something by itself, rather than only through its commands.
  bool runs() const { return run_ != nullptr; }

  // The command that the first words name, and how many words that took.
  std::pair<Command*, size_t> Find(std::span<const std::string> words);
  // Reads what follows the command's name into the targets; the error is one of usage. False when
  // there is nothing to run because help was asked for.
  Result<bool> Parse(std::span<const std::string> words);
  Status Run() const { return run_(); }

 private:
  struct Given {
    const Option* option;
    std::string typed;  // the name as it was typed: -n or --max-tokens
    std::string value;
  };

  Option& AddOption(std::string_view spec, std::string help,
                    std::function<Status(const std::string&)> take);
  template <class T, class Target>
  Option& AddNumber(std::string_view spec, Target& target, const std::string& help,
                    Range<T> range) {
    return AddOption(spec, help, [&target, range](const std::string& text) -> Status {
      FULMEN_ASSIGN(target, ParseNumber<T>(text, range));
      return {};
    });
  }
  const Option* FindOption(std::string_view name) const;
  tl::unexpected<Error> Unknown(std::string_view what, std::string_view name) const;
  Status Take(const Option& option, const std::string& typed, const std::string& value);
  // Both take the word at `next`, and the one after it where that is its value.
  Status TakeLong(std::span<const std::string> words, size_t& next);
  Status TakeLetters(std::span<const std::string> words, size_t& next);
  Status TakeArgument(const std::string& word);
  Result<std::string> ValueAfter(const std::string& typed, std::span<const std::string> words,
                                 size_t& next) const;
  const Given* FindGiven(std::string_view name) const;
  Status TakeConfigFile();
  Status CheckGiven() const;

  std::string path_;
  std::string summary_;
  std::string notes_;
  std::string group_ = "Options";
  std::vector<std::string> examples_;
  std::vector<std::unique_ptr<Command>> commands_;
  std::vector<std::unique_ptr<Option>> options_;
  std::string others_prefix_;
  TakeOther others_;
  std::string config_file_;
  std::function<Status()> check_;
  std::function<Status()> run_;
  std::vector<Given> given_;  // in the order of the command line
  bool help_ = false;
};

// Calls the command that `words` (without the program's name) ask for, and returns the status to
// exit with: 0, or 2 after a sentence and a hint on standard error when they ask for none.
Result<int> RunCommandLine(Command& program, std::span<const std::string> words);

// A command ends the program with this status by throwing it, e.g. when it was interrupted.
struct ExitWith {
  int status;
};

}  // namespace fulmen
