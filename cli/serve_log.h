// The server's log.
#pragma once

#include <string>

#include "serve/http_server.h"

namespace fulmen {

// One line for each exchange, on standard error, as "text" or "json". Nothing of what was asked or
// answered is in it.
void LogExchange(const std::string& format, const HttpRecord& record);

}  // namespace fulmen
