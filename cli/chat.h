// The conversation of `fulmen run --chat`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/interrupt.h"
#include "cli/responder.h"

namespace fulmen {

struct ChatOptions {
  bool raw = false;      // the user asked for text instead of the model's chat format
  bool hints = true;     // says how to talk and leave
  bool timings = false;  // after each answer
};

enum class ChatEnd : uint8_t { kLeft, kInterrupted };

// Answers `first`, when there is one, with `images` (data URLs), and then what is typed or piped
// in, until the user leaves or the input ends. Ctrl-C ends an answer and no more where the user is
// at a terminal.
Result<ChatEnd> Chat(Responder& responder, const InterruptGuard& interrupt,
                     std::optional<std::string> first, std::vector<std::string> images,
                     const ChatOptions& options);

}  // namespace fulmen
