// What the program says. Standard output is data: losing any of it is an error. Standard error is
// talk: nobody need listen, so nothing stops when it cannot be written.
#pragma once

#include <fmt/core.h>

#include <string_view>
#include <utility>

#include "base/status.h"

namespace fulmen {

// Once, before any file is opened: a closed pipe becomes an error of the write rather than the end
// of the program, and descriptors 0 to 2 that were closed are taken, so that no file gets one of
// them and what is said into it. Reading or writing one of these still fails.
void OpenConsole();

// To standard error, in one write. From any thread.
void SayText(std::string_view text);
template <class... Args>
void Say(fmt::format_string<Args...> format, Args&&... args) {
  SayText(fmt::format(format, std::forward<Args>(args)...));
}

// To standard output, behind a buffer; from one thread. A failure shows in FlushOutput.
void PrintText(std::string_view text);
template <class... Args>
void Print(fmt::format_string<Args...> format, Args&&... args) {
  PrintText(fmt::format(format, std::forward<Args>(args)...));
}

// Hands what was printed to whoever reads it. Fails, now and whenever asked again, when any of it
// was lost: with kClosedPipe when the reader has gone, else with kIo.
Status FlushOutput();
// Both: for what somebody watches come.
Status PrintNow(std::string_view text);

}  // namespace fulmen
