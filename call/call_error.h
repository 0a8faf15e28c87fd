// Why a server gave no answer, as far as its caller should act on it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "base/json.h"
#include "base/status.h"

namespace fulmen {

struct CallError {
  enum class Kind : uint8_t {
    kFailed,
    kKey,    // there is none, or it is not good for this
    kLimit,  // no balance, or too much at a time
  };
  Kind kind = Kind::kFailed;
  Error error = {};
  bool transient = false;  // the same request may do later
};

template <class T>
using CallResult = tl::expected<T, CallError>;

// Of an answer with this status, whose body may be in the shape of any of the APIs or of none.
CallError ErrorOfStatus(int status, std::string_view body);
// What an answer with status 200, or an event of a stream, says of an error: MiniMax's base_resp,
// or an `error`. nullopt where it says of none.
std::optional<CallError> ErrorInBody(const Json& body);
// Bytes that are no answer of the API.
CallError Unreadable(std::string message);

}  // namespace fulmen
