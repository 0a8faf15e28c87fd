// fulmen session: what is done with stored conversations besides going on with them.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/console.h"
#include "base/file_io.h"
#include "base/nearest_name.h"
#include "base/parse_number.h"
#include "base/printable.h"
#include "cli/commands.h"
#include "cli/input.h"
#include "cli/saved_sessions.h"
#include "cli/session_text.h"
#include "engine/session_file.h"
#include "engine/session_json.h"

namespace fulmen {
namespace {

struct SessionCommandOptions {
  std::string sessions;  // path of the store; empty for the usual one
  std::string space;     // the namespace
  std::string name;
  std::vector<std::string> names;
  std::string new_name;
  std::string file = "-";
  std::optional<int64_t> after;  // seconds
  bool never = false;
  bool all = false;
  bool ids = false;
  bool json = false;
};

using Options = std::shared_ptr<SessionCommandOptions>;

std::string Dump(const Json& json) { return DumpJson(json) + "\n"; }

// The store, or null where there is none: nothing is made by asking for what is in it.
Result<std::unique_ptr<SessionStore>> OpenIfThere(const SessionCommandOptions& options) {
  FULMEN_ASSIGN(const std::string path, SessionsPath(options.sessions));
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) return nullptr;
  return OpenSessions(options.sessions);
}

// The store, which has to be there to have a session `name` in it.
Result<std::unique_ptr<SessionStore>> OpenFor(const SessionCommandOptions& options,
                                              const std::string& name) {
  FULMEN_ASSIGN(std::unique_ptr<SessionStore> store, OpenIfThere(options));
  if (store != nullptr) return store;
  FULMEN_ASSIGN(const std::string path, SessionsPath(options.sessions));
  return Fail(ErrorCode::kNotFound, "there is no session \"{}\": {} is not there yet",
              Printable(name), path);
}

// Of a session that is not there, tells the one whose name is nearest.
Status WithSuggestion(SessionStore& store, const std::string& space, const std::string& name,
                      Status status) {
  if (status || status.error().code != ErrorCode::kNotFound) return status;
  const auto sessions = store.List(space);
  if (!sessions || sessions->empty()) return status;
  std::vector<std::string_view> known;
  for (const SessionSummary& each : *sessions) known.push_back(each.name);
  const std::string_view nearest = NearestName(name, known);
  if (!MayMean(name, nearest)) return status;
  return Fail(ErrorCode::kNotFound, "{}; did you mean \"{}\"?", status.error().message,
              Printable(nearest));
}

// Calls `change` with the store that should have the session options.name.
template <class Change>
Status ChangeSession(const SessionCommandOptions& options, Change change) {
  FULMEN_ASSIGN(const std::unique_ptr<SessionStore> store, OpenFor(options, options.name));
  return WithSuggestion(*store, options.space, options.name, change(*store));
}

Result<SavedSession> FindSession(const SessionCommandOptions& options) {
  FULMEN_ASSIGN(const std::unique_ptr<SessionStore> store, OpenFor(options, options.name));
  FULMEN_ASSIGN(std::optional<SavedSession> session, store->Find(options.space, options.name));
  if (session) return *std::move(session);
  FULMEN_ASSIGN(const std::string path, SessionsPath(options.sessions));
  const Status missing =
      Fail(ErrorCode::kNotFound, "there is no session \"{}\" in {}", Printable(options.name), path);
  return tl::unexpected<Error>(
      WithSuggestion(*store, options.space, options.name, missing).error());
}

Status ListSessions(const SessionCommandOptions& options) {
  FULMEN_ASSIGN(const std::unique_ptr<SessionStore> store, OpenIfThere(options));
  std::vector<SessionSummary> sessions;
  if (store != nullptr) {
    const auto space = options.all ? std::nullopt : std::optional<std::string_view>(options.space);
    FULMEN_ASSIGN(sessions, store->List(space));
  }
  PrintText(options.json ? Dump(SessionListJson(sessions)) : SessionTable(sessions, options.all));
  return {};
}

Status ShowSession(const SessionCommandOptions& options) {
  FULMEN_ASSIGN(const SavedSession session, FindSession(options));
  if (options.json) {
    PrintText(Dump(SessionJson(session, options.ids)));
  } else if (options.ids) {
    Print("{}\n", fmt::join(session.Ids(), " "));
  } else {
    PrintText(ConversationText(session));
  }
  return {};
}

Status ExportSession(const SessionCommandOptions& options) {
  FULMEN_ASSIGN(const SavedSession session, FindSession(options));
  return WriteFileAtomically(options.file, FormatSession(session));
}

Status ImportSession(const SessionCommandOptions& options) {
  FULMEN_ASSIGN(const std::string text, ReadInput(options.file));
  FULMEN_ASSIGN(SavedSession session, ParseSession(text, InputName(options.file)));
  if (!options.new_name.empty()) session.name = options.new_name;
  session.space = options.space;
  session.used = SecondsNow();
  FULMEN_ASSIGN(const std::unique_ptr<SessionStore> store, OpenSessions(options.sessions));
  const Status created = store->Create(session);
  if (!created && created.error().code == ErrorCode::kConflict && options.new_name.empty()) {
    return Fail(ErrorCode::kConflict, "{}; another name may follow the file",
                created.error().message);
  }
  FULMEN_TRY(created);
  Print("{}\n", session.name);
  return {};
}

Status RemoveSessions(const SessionCommandOptions& options) {
  FULMEN_ASSIGN(const std::unique_ptr<SessionStore> store, OpenFor(options, options.names.front()));
  FULMEN_ASSIGN(const std::vector<SessionSummary> sessions, store->List(options.space));
  const std::set<std::string> names(options.names.begin(), options.names.end());
  // None is removed where one of them is misspelt; a second pass then removes all.
  for (const std::string& name : names) {
    if (std::ranges::find(sessions, name, &SessionSummary::name) != sessions.end()) continue;
    return WithSuggestion(*store, options.space, name, store->Remove(options.space, name));
  }
  for (const std::string& name : names) FULMEN_TRY(store->Remove(options.space, name));
  return {};
}

// "30d" as seconds.
Status ParseTime(const std::string& text, std::optional<int64_t>& seconds) {
  constexpr std::array<std::pair<char, int64_t>, 5> kUnits = {
      std::pair('s', 1), std::pair('m', 60), std::pair('h', 3600), std::pair('d', 86'400),
      std::pair('w', 604'800)};
  constexpr int64_t kLongest = 100 * int64_t{366} * 86'400;
  for (const auto& [letter, length] : kUnits) {
    if (!text.ends_with(letter)) continue;
    const auto number = ParseNumber<int64_t>(std::string_view(text).substr(0, text.size() - 1),
                                             {1, kLongest / length});
    if (!number) break;
    seconds = *number * length;
    return {};
  }
  return Fail(ErrorCode::kInvalidArgument,
              "should be a time of at most a hundred years, as in 90s, 45m, 12h, 30d or 2w, found "
              "\"{}\"",
              text);
}

Status ExpireSession(const SessionCommandOptions& options) {
  return ChangeSession(options, [&](SessionStore& store) {
    const auto expires =
        options.after ? std::optional<int64_t>(SecondsNow() + *options.after) : std::nullopt;
    return store.SetExpiry(options.space, options.name, expires);
  });
}

// A command below `session` with what all of them have; what follows its name is added before.
void Finish(Command& command, const Options& options, std::string example,
            Status (*run)(const SessionCommandOptions&)) {
  AddSessionsOption(command, options->sessions);
  command.Add("--namespace NAME", options->space, "Sessions of this namespace of a server");
  command.Examples({std::move(example)});
  command.Run([options, run] { return run(*options); });
}

void AddList(Command& session) {
  auto options = std::make_shared<SessionCommandOptions>();
  Command& command = session.AddCommand("list", "List sessions, the one used last first");
  command.Add("--json", options->json, "Print a JSON list");
  command.Add("--all", options->all, "Of all namespaces").Excludes({"--namespace"});
  Finish(command, options, "fulmen session list", ListSessions);
}

void AddShow(Command& session) {
  auto options = std::make_shared<SessionCommandOptions>();
  Command& command = session.AddCommand("show", "Print a session's conversation");
  command.Add("NAME", options->name, "The session").Required();
  command.Add("--json", options->json, "Print one JSON object, messages as in the OpenAI API");
  command.Add("--ids", options->ids, "Print its token ids; with --json, these too");
  Finish(command, options, "fulmen session show work", ShowSession);
}

// `fork` and `rename`, which take two names.
void AddNaming(Command& session, const char* name, const char* summary, const char* example,
               Status (*run)(const SessionCommandOptions&)) {
  auto options = std::make_shared<SessionCommandOptions>();
  Command& command = session.AddCommand(name, summary);
  command.Add("NAME", options->name, "The session").Required();
  command.Add("NEW", options->new_name, "Its new name, or its copy's").Required();
  command.Check([options] { return CheckSessionName(options->new_name); });
  Finish(command, options, example, run);
}

void AddExport(Command& session) {
  auto options = std::make_shared<SessionCommandOptions>();
  Command& command = session.AddCommand("export", "Write a session as one file");
  command.Add("NAME", options->name, "The session").Required();
  command.Add("OUT", options->file, "File to write; - is standard output")
      .Completes(Completion::kFiles)
      .Default("-");
  Finish(command, options, "fulmen session export work /tmp/work.json", ExportSession);
}

void AddImport(Command& session) {
  auto options = std::make_shared<SessionCommandOptions>();
  Command& command =
      session.AddCommand("import", "Store the session of a file, and print its name");
  command.Add("FILE", options->file, "What `export` wrote; - is standard input").Required();
  command.Add("NAME", options->new_name, "Its name here").Default("the one in the file");
  command.Check([options]() -> Status {
    return options->new_name.empty() ? Status() : CheckSessionName(options->new_name);
  });
  Finish(command, options, "fulmen session import /tmp/work.json work-2", ImportSession);
}

void AddRemove(Command& session) {
  auto options = std::make_shared<SessionCommandOptions>();
  Command& command = session.AddCommand("rm", "Remove sessions");
  command.Add("NAME", options->names, "The sessions; all of them or, where one is missing, none")
      .Required();
  Finish(command, options, "fulmen session rm older-work", RemoveSessions);
}

void AddExpire(Command& session) {
  auto options = std::make_shared<SessionCommandOptions>();
  Command& command =
      session.AddCommand("expire", "Have a session removed once a time has passed, or never");
  command.Add("NAME", options->name, "The session").Required();
  command
      .Add(
          "--after TIME",
          [options](const std::string& text) { return ParseTime(text, options->after); },
          "From now, as in 90s, 45m, 12h, 30d or 2w, used or not")
      .Excludes({"--never"});
  command.Add("--never", options->never, "It stays until it is removed");
  command.Check([options]() -> Status {
    if (options->after || options->never) return {};
    return Fail(ErrorCode::kInvalidArgument, "either --after TIME or --never is needed");
  });
  Finish(command, options, "fulmen session expire work --after 30d", ExpireSession);
}

}  // namespace

void AddSessionCommand(Command& program) {
  Command& session =
      program.AddCommand("session", "List, show, copy, move and remove stored conversations");
  AddList(session);
  AddShow(session);
  AddNaming(session, "fork", "Copy a session, so that two can go on from here",
            "fulmen session fork work old-work", [](const SessionCommandOptions& options) {
              return ChangeSession(options, [&](SessionStore& store) {
                return store.Fork(options.space, options.name, options.new_name, SecondsNow());
              });
            });
  AddNaming(session, "rename", "Give a session another name",
            "fulmen session rename old-work older-work", [](const SessionCommandOptions& options) {
              return ChangeSession(options, [&](SessionStore& store) {
                return store.Rename(options.space, options.name, options.new_name);
              });
            });
  AddExport(session);
  AddImport(session);
  AddRemove(session);
  AddExpire(session);
  session.Examples({"fulmen session list --json"});
}

}  // namespace fulmen
