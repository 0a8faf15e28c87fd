#include "cli/line_reader.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "cli/line_editor.h"
#include "cli/signal_pipe.h"

namespace fulmen {
namespace {

// Where a user sees what is typed: what is typed is talk, so standard error comes first.
FILE* Screen() {
  if (isatty(STDERR_FILENO) == 1) return stderr;
  return isatty(STDOUT_FILENO) == 1 ? stdout : nullptr;
}

bool CanEdit() {
  const char* term = std::getenv("TERM");
  return Screen() != nullptr && term != nullptr && *term != '\0' &&
         std::string_view(term) != "dumb";
}

}  // namespace

LineReader::LineReader(const std::string& prompt, const InterruptGuard& interrupt)
    : prompt_(prompt), interrupt_(interrupt), interactive_(isatty(STDIN_FILENO) == 1) {
  if (interactive_ && CanEdit()) editor_ = std::make_unique<LineEditor>(Screen(), prompt);
}

LineReader::~LineReader() = default;

TurnOutcome LineReader::Read(std::string& turn) {
  return editor_ ? editor_->Read(turn) : ReadPlain(turn);
}

TurnOutcome LineReader::ReadPlain(std::string& turn) {
  SignalPipe signals({SIGINT, SIGTERM, SIGHUP});
  turn.clear();
  if (interrupt_.flag() && !interactive_) return TurnOutcome::kSignal;  // it came before the pipe
  while (true) {
    if (interactive_ && Screen() != nullptr) {
      std::fputs(prompt_.c_str(), Screen());
      std::fflush(Screen());
    }
    std::string line;
    int signal = 0;
    const TurnOutcome outcome = ReadLine(signals, line, signal);
    if (outcome == TurnOutcome::kEnd && !turn.empty()) return TurnOutcome::kTurn;
    if (outcome == TurnOutcome::kSignal && interactive_ && signal == SIGINT) {
      // The terminal has dropped what was typed, and does not tell whether that was anything.
      if (std::exchange(interrupted_, true)) return TurnOutcome::kEnd;
      std::fputs("\n", stderr);
      turn.clear();
      continue;
    }
    if (outcome == TurnOutcome::kSignal) signals.PassOn(signal);
    if (outcome != TurnOutcome::kTurn) return outcome;
    interrupted_ = false;
    turn += line;
    const bool goes_on = turn.ends_with('\\');
    if (!goes_on && !IsOpenBlock(turn)) return TurnOutcome::kTurn;
    if (goes_on) turn.pop_back();
    turn += '\n';
  }
}

// Reads the descriptor itself: a stream would keep what came before a signal.
TurnOutcome LineReader::ReadLine(SignalPipe& signals, std::string& line, int& signal) {
  while (true) {
    if (const size_t end = buffer_.find('\n'); end != std::string::npos) {
      line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return TurnOutcome::kTurn;
    }
    signal = signals.Wait(STDIN_FILENO);
    if (signal != 0) return TurnOutcome::kSignal;
    std::array<char, 4096> bytes;
    const ssize_t count = read(STDIN_FILENO, bytes.data(), bytes.size());
    if (count > 0) {
      buffer_.append(bytes.data(), static_cast<size_t>(count));
    } else if (count < 0 && (errno == EINTR || errno == EAGAIN)) {
      continue;
    } else if (buffer_.empty()) {
      return TurnOutcome::kEnd;
    } else {
      line = std::exchange(buffer_, "");
      return TurnOutcome::kTurn;
    }
  }
}

}  // namespace fulmen
