#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace fulmen {

void CheckFailed(const char* file, int line, const char* condition, const std::string& hint) {
  fmt::print(stderr, "{}:{}: broken invariant: {} ({})\n", file, line, condition, hint);
  std::abort();
}

}  // namespace fulmen
