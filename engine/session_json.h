// Stored sessions in JSON, as commands and servers tell of them.
#pragma once

#include <vector>

#include "base/json.h"
#include "engine/saved_session.h"
#include "engine/session_store.h"

namespace fulmen {

Json SessionListJson(const std::vector<SessionSummary>& sessions);
// With its messages, and its token ids where wanted.
Json SessionJson(const SavedSession& session, bool ids);

}  // namespace fulmen
