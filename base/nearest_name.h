// What somebody who mistyped a name may have meant.
#pragma once

#include <span>
#include <string_view>

namespace fulmen {

// The one of `known` (not empty) that `name` begins, else the one with the fewest letters to
// insert, remove or replace.
std::string_view NearestName(std::string_view name, std::span<const std::string_view> known);

// Whether `name` is close enough to `known` to ask "did you mean": it begins it, or at most a third
// of its letters (at least one) are wrong.
bool MayMean(std::string_view name, std::string_view known);

}  // namespace fulmen
