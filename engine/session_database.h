// The SQLite file behind a session store.
#pragma once

#include "engine/database.h"

namespace fulmen {

extern const DatabaseKind kSessionDatabase;

}  // namespace fulmen
