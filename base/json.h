// JSON with Status errors. Objects keep their key order, which chat templates and configs rely on.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace fulmen {

using Json = nlohmann::ordered_json;

// `where` names the source in the error message. Time is linear in the text, whatever it holds.
// Nesting past 200 levels is refused, so that hostile input cannot exhaust the stack of whoever
// walks the value; so are a key that stands twice in one object and anything after the value, a NUL
// included.
Result<Json> ParseJson(std::string_view text, const std::string& where);
Result<Json> ReadJsonFile(const std::string& path);

// The value as JSON, on one line unless `indent` spaces are asked for. Bytes of strings that are no
// UTF-8 become U+FFFD.
std::string DumpJson(const Json& value, int indent = -1);
// The value as one line of JSON, short enough for a message.
std::string Shown(const Json& value);

// The value as a whole number from `low` to `high`; nullopt for all else, 3.0 included.
std::optional<int64_t> IntegerIn(const Json& value, int64_t low, int64_t high);
// The shortest decimal that reads back as the same float, not the digits of its double.
double ShortestDecimal(float value);

// The text of a string; empty for all else. Lives as long as the value.
std::string_view TextOf(const Json& value);

// The member `key` of the object `value`; null when absent or when `value` is no object. The time
// grows with the number of members before it.
const Json& Member(const Json& value, std::string_view key);
// A member that has to be a string, or a boolean with a default.
Result<std::string> StringMember(const Json& value, std::string_view key, const std::string& where);
Result<bool> BoolMember(const Json& value, std::string_view key, bool otherwise,
                        const std::string& where);

}  // namespace fulmen
