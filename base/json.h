// JSON with Status errors. Objects keep their key order, which chat templates and configs rely on.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/status.h"

namespace fulmen {

using Json = nlohmann::ordered_json;

// `where` names the source in the error message. Time is linear in the text, whatever it holds.
// Nesting past 200 levels is refused, so that hostile input cannot exhaust the stack of whoever
// walks the value; so is a key that stands twice in one object.
Result<Json> ParseJson(std::string_view text, const std::string& where);
Result<Json> ReadJsonFile(const std::string& path);

}  // namespace fulmen
