// Writing to a descriptor that may be a pipe, a terminal or a device.
#pragma once

#include <string_view>

namespace fulmen {

// Writes all of `bytes`, whatever signals come and even where the descriptor is non-blocking, as a
// terminal is that another program left so. Returns 0, or the errno value of the failure.
int WriteAll(int file, std::string_view bytes);

}  // namespace fulmen
