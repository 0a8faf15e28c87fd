// Arguments of a call that was cut short.
#pragma once

#include <string_view>

#include "base/json.h"

namespace fulmen {

// The value of `text`, a JSON object or the beginning of one: of a beginning, what is whole in it.
// A string or a number that may go on is left out, and so is a key without its value. What is
// neither gives {}. Of a key that stands twice the last value counts, as in JavaScript. The time
// grows with the text times how deep it is nested, which answers' calls limit (JsonScanner).
Json WholePartsOf(std::string_view text);

}  // namespace fulmen
