// The conversation of `fulmen call --chat`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/call_session.h"
#include "cli/interrupt.h"

namespace fulmen {

// Answers `first`, when there is one, with `images`, and then what is typed or piped in, until the
// user leaves or the input ends. At a terminal an error or Ctrl-C ends an answer and no more. An
// error of kCancelled: the program was told to end.
CallResult<void> CallChat(CallSession& session, const InterruptGuard& interrupt,
                          std::optional<std::string> first, std::vector<std::string> images,
                          bool hints);

}  // namespace fulmen
