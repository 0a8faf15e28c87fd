// What tests of quantizing share.
#pragma once

#include <cstddef>
#include <string_view>

#include "quantize/mix.h"

namespace fulmen::testing {

inline const Mix& MixOf(std::string_view name) { return *FindMix(name).value(); }

// Goes on with a file to its end.
inline bool KeepGoing(size_t) { return true; }

}  // namespace fulmen::testing
