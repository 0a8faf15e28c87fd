// Reads lines typed by a user, or piped in.
#pragma once

#include <memory>
#include <string>

namespace fulmen {

// On a terminal lines can be edited and earlier ones called back (libedit); elsewhere they are read
// as they come. Not thread safe.
class LineReader {
 public:
  LineReader();
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  enum class Outcome { kLine, kEnd, kInterrupted };
  // Shows `prompt` when a user is there to see it, and reads one line without its newline. A line
  // that ends in a backslash goes on in the next. kInterrupted: a signal came first.
  Outcome Read(const std::string& prompt, std::string& line);

  // Whether standard input is a terminal.
  bool interactive() const { return editor_ != nullptr; }

 private:
  class Editor;
  Outcome ReadOne(std::string& line);

  std::unique_ptr<Editor> editor_;  // null unless standard input is a terminal
  std::string buffer_;              // read from standard input, not yet returned
};

}  // namespace fulmen
