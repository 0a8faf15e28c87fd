// JSON as Python's json.dumps(value, ensure_ascii=False) writes it, which is what chat templates
// put into prompts.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace fulmen {

std::string PythonJson(const Json& value);
// The string alone, in quotes.
std::string PythonJsonString(std::string_view text);

}  // namespace fulmen
