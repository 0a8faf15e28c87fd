// Broken invariants of our own: the program stops, saying where. Kept in release builds.
#pragma once

#include <fmt/core.h>

#include <string>

namespace fulmen {

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              const std::string& hint);

}  // namespace fulmen

// FULMEN_CHECK(condition, "format", args...): the hint says what the caller did wrong.
#define FULMEN_CHECK(condition, ...)                                                   \
  do {                                                                                 \
    if (!(condition)) [[unlikely]] {                                                   \
      ::fulmen::CheckFailed(__FILE__, __LINE__, #condition, fmt::format(__VA_ARGS__)); \
    }                                                                                  \
  } while (false)
