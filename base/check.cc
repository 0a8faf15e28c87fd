#include "base/check.h"

#include <cstdlib>

#include "base/console.h"

namespace fulmen {

void CheckFailed(const char* file, int line, const char* condition, const std::string& hint) {
  Say("{}:{}: broken invariant: {} ({})\n", file, line, condition, hint);
  std::abort();
}

}  // namespace fulmen
