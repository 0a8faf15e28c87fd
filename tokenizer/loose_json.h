// JSON for large untrusted objects. Json (base/json.h) keeps key order by searching linearly, so a
// vocabulary of 200,000 entries would take minutes; here keys are sorted.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/status.h"

namespace fulmen {

using LooseJson = nlohmann::json;

Result<LooseJson> ParseLooseJson(std::string_view text, const std::string& where);

// The member `key` of the object `value`; null when absent or when `value` is no object.
const LooseJson& Member(const LooseJson& value, const char* key);
// A member that has to be a string, or a boolean with a default.
Result<std::string> StringMember(const LooseJson& value, const char* key, const std::string& where);
Result<bool> BoolMember(const LooseJson& value, const char* key, bool otherwise,
                        const std::string& where);

}  // namespace fulmen
