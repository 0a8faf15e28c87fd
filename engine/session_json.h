// Stored sessions in JSON, as commands and servers tell of them.
#pragma once

#include <vector>

#include "base/json.h"
#include "engine/saved_session.h"
#include "engine/session_store.h"

namespace fulmen {

Json SessionSummaryJson(const SessionSummary& session);
Json SessionListJson(const std::vector<SessionSummary>& sessions);
// With its messages and what is known of its turns, and its token ids where wanted.
Json SessionJson(const SavedSession& session, bool ids);

}  // namespace fulmen
