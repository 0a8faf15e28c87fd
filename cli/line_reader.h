// Reads the turns of a chat, typed by a user or piped in.
#pragma once

#include <memory>
#include <string>

#include "cli/interrupt.h"
#include "cli/turn.h"

namespace fulmen {

class LineEditor;
class SignalPipe;

// On a terminal turns are edited and earlier ones called back; elsewhere, and on a terminal that
// cannot move its cursor, lines are read as they come. Not thread safe.
class LineReader {
 public:
  // `prompt` is shown where a user is there to see it. The guard must outlive the reader.
  LineReader(const std::string& prompt, const InterruptGuard& interrupt);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // A turn is a line, or more where each but the last ends in a backslash (which is taken out), or
  // all lines of a block; without the last newline.
  TurnOutcome Read(std::string& turn);

  // Whether standard input is a terminal.
  bool interactive() const { return interactive_; }

 private:
  TurnOutcome ReadPlain(std::string& turn);
  // One line without its newline. kSignal: `signal` came.
  TurnOutcome ReadLine(SignalPipe& signals, std::string& line, int& signal);

  const std::string prompt_;
  const InterruptGuard& interrupt_;
  const bool interactive_;
  std::unique_ptr<LineEditor> editor_;  // null where lines are read as they come
  std::string buffer_;                  // read from standard input, not yet returned
  bool interrupted_ = false;            // by Ctrl-C, without an editor, since the last line
};

}  // namespace fulmen
