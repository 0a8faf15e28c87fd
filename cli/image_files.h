// Picture files that the command line names.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace fulmen {

// The file, "-" being standard input, as a data URL: what a message holds of it, and so what is
// kept of it in a session.
Result<std::string> ImageUrlOfFile(const std::string& path);
// The same of a picture's bytes, whose kind images/decode.h knows.
std::string DataUrl(std::string_view bytes);

}  // namespace fulmen
