// A session as one file: JSON, with a version and a checksum. docs/sessions.md describes it.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"
#include "engine/saved_session.h"

namespace fulmen {

// One line. Namespace, time of expiry and addresses are not in it: they belong to a store.
std::string FormatSession(const SavedSession& session);

// Any bytes; what is accepted passes CheckSession. `where` names the source in errors. The session
// was used when it was made, as far as the file tells.
Result<SavedSession> ParseSession(std::string_view text, const std::string& where);

// What `checksum` has to be in such a document: it covers all other members, however they are
// spaced.
std::string SessionFileChecksum(Json document);

}  // namespace fulmen
