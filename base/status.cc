#include "base/status.h"

#include <system_error>

namespace fulmen {

std::string ErrnoMessage(int number) { return std::generic_category().message(number); }

}  // namespace fulmen
