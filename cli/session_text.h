// Stored sessions as commands print them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/session_store.h"

namespace fulmen {

// A table for a person, a line each; with the namespace before each name where `spaces`.
std::string SessionTable(const std::vector<SessionSummary>& sessions, bool spaces);

// Who said what, in order, each text indented below its role. Nothing in it moves a cursor.
std::string ConversationText(const SavedSession& session);

}  // namespace fulmen
