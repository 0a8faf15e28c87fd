#include "cli/saved_sessions.h"

#include <chrono>
#include <cstdlib>

#include "base/clock.h"
#include "cli/state_folder.h"

namespace fulmen {

Option& AddSessionsOption(Command& command, std::string& path) {
  return command.Add("--sessions FILE", path, "File with the sessions")
      .Default("$FULMEN_SESSIONS, or fulmen/sessions.db in $XDG_STATE_HOME or in ~/.local/state");
}

Result<std::string> SessionsPath(const std::string& named) {
  if (!named.empty()) return named;
  const char* variable = std::getenv("FULMEN_SESSIONS");
  if (variable != nullptr && *variable != '\0') return std::string(variable);
  std::string path = StatePath("sessions.db");
  if (!path.empty()) return path;
  return Fail(ErrorCode::kNotFound,
              "there is no home folder to keep sessions in: name a file with --sessions or "
              "FULMEN_SESSIONS");
}

Result<std::unique_ptr<SessionStore>> OpenSessions(const std::string& named) {
  FULMEN_ASSIGN(const std::string path, SessionsPath(named));
  FULMEN_ASSIGN(std::unique_ptr<SessionStore> store, SessionStore::Open(path));
  // A disk too full to remove them is no reason to keep the others from anybody.
  (void)store->RemoveExpired(SecondsNow());
  return store;
}

}  // namespace fulmen
