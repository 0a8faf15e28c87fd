// The store of named conversations, as commands find it. (cli/session.h is about an opened model.)
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "cli/command.h"
#include "engine/session_store.h"

namespace fulmen {

// --sessions FILE, of commands that keep or read sessions.
Option& AddSessionsOption(Command& command, std::string& path);

// The store's path: `named` where that is not empty, else where it usually is.
Result<std::string> SessionsPath(const std::string& named);
// Opens the store, making it where there is none, and removes what has expired.
Result<std::unique_ptr<SessionStore>> OpenSessions(const std::string& named);

}  // namespace fulmen
