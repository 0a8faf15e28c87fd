// Base64 of RFC 4648, section 4.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace fulmen {

std::string EncodeBase64(std::string_view bytes);

// Takes only what an encoder writes: the standard alphabet without white space, padded to whole
// fours, the bits behind the last byte zero. So no two texts stand for the same bytes. `where`
// names the text in errors.
Result<std::string> DecodeBase64(std::string_view text, const std::string& where);

}  // namespace fulmen
