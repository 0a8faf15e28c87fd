// What a file is that is not what was expected.
#pragma once

#include <string>
#include <string_view>

namespace fulmen {

// What the contents of a file, or the first of them, say it is: "a GGUF file"; "" when they say
// nothing. For the second half of an error message, so it says what to do where that is short.
std::string_view FileKind(std::string_view start);

// What stands at `path`: "nothing", "a folder", "a FIFO", "a GGUF file", "a file", or why that
// cannot be said. Reads only regular files, so it does not wait.
std::string PathKind(const std::string& path);

}  // namespace fulmen
