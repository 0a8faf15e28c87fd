// Errors that are somebody's input: bad files, requests, networks. Broken invariants of our own go
// through base/check.h instead.
#pragma once

#include <fmt/core.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace fulmen {

enum class ErrorCode {
  kInvalidArgument,  // the caller asked for something impossible
  kNotFound,         // a file or name is not there
  kCorrupt,          // bytes contradict their format, or each other
  kUnsupported,      // well formed, but a feature we do not have; the message names it
  kIo,               // the operating system refused
  kNonFinite,        // a computation produced NaN or infinity
  kCancelled,        // the user stopped it
  kClosedPipe,       // whoever read standard output has gone
  kUnavailable,      // another process or machine is gone
  kNoRoom,           // what is shared is in use; there may be room later
  kConflict,         // somebody else was faster: a name is taken, or what was to be changed has
};

// One clear sentence: what was expected, what was found, where.
struct Error {
  ErrorCode code;
  std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

// Returned from a function whose type is Status or any Result<T>.
template <class... Args>
tl::unexpected<Error> Fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

// The message of errno value `number`, e.g. "No such file or directory".
std::string ErrnoMessage(int number);

}  // namespace fulmen

#define FULMEN_CONCAT_INNER(a, b) a##b
#define FULMEN_CONCAT(a, b) FULMEN_CONCAT_INNER(a, b)

// Leaves the function with the error of `expression`, a Status.
#define FULMEN_TRY(expression)                                                  \
  do {                                                                          \
    if (auto fulmen_status = (expression); !fulmen_status) {                    \
      return tl::unexpected<::fulmen::Error>(std::move(fulmen_status).error()); \
    }                                                                           \
  } while (false)

// FULMEN_ASSIGN(auto x, F()): x takes F's value, or the function is left with F's error.
#define FULMEN_ASSIGN(target, expression) \
  FULMEN_ASSIGN_IMPL(FULMEN_CONCAT(fulmen_result_, __LINE__), target, expression)
#define FULMEN_ASSIGN_IMPL(result, target, expression)                            \
  auto result = (expression);                                                     \
  if (!result) return tl::unexpected<::fulmen::Error>(std::move(result).error()); \
  target = *std::move(result)
