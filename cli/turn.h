// How the turns of a chat are typed: a line each, or a block of lines between """ and """.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fulmen {

// What came of reading a turn.
enum class TurnOutcome : uint8_t {
  kTurn,
  kEnd,     // the input has ended, or the user wants to leave
  kSignal,  // a signal came that ends programs, and has reached the handler it had before
};

// Whether `text` begins a block that has yet to be closed.
bool IsOpenBlock(std::string_view text);
// What a turn says: the text of a block, anything else as it is.
std::string UnwrapBlock(std::string_view text);

}  // namespace fulmen
