// A turn of a chat, typed and edited on a terminal.
#pragma once

#include <histedit.h>

#include <cstdint>
#include <cstdio>
#include <string>

#include "cli/chat_history.h"
#include "cli/signal_pipe.h"
#include "cli/turn.h"

namespace fulmen {

// libedit, and what it lacks: pastes that stay whole, turns of several lines, a prompt that comes
// back after Ctrl-Z. The terminal is as it was found whenever Read is not at work. Not thread safe.
class LineEditor {
 public:
  // Keys come from standard input, which is a terminal, as is `screen`.
  LineEditor(FILE* screen, std::string prompt);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // `text` as it was typed. Ctrl-D and Ctrl-C on an empty line end it.
  TurnOutcome Read(std::string& text);

 private:
  // Why a line was left other than by Enter.
  enum class Event : uint8_t { kNone, kClear, kSuspend, kSignal };

  void BindKeys();
  // What libedit calls.
  static LineEditor& Of(EditLine* line);
  static const char* Prompt(EditLine* line) { return Of(line).prompt_.c_str(); }
  static int GetCharacter(EditLine* line, wchar_t* character);
  static unsigned char OnEnter(EditLine* line, int key);
  static unsigned char OnNewline(EditLine* line, int key);
  static unsigned char OnClear(EditLine* line, int key);
  static unsigned char OnSuspend(EditLine* line, int key);
  static unsigned char OnPaste(EditLine* line, int key);
  static unsigned char OnUp(EditLine* line, int key);
  static unsigned char OnDown(EditLine* line, int key);

  // One call of libedit; null when the line was left, or at the end of the input.
  const char* Edit(int& count);
  void Keep();     // what was typed, for the next Edit
  void PutBack();  // what was kept
  void Resize();
  void Remember(const std::string& turn);

  FILE* screen_;
  const std::string prompt_;
  ChatHistory stored_;
  History* history_;
  EditLine* line_;
  SignalPipe* signals_ = nullptr;  // while libedit waits for keys
  Event event_ = Event::kNone;
  int signal_ = 0;       // of Event::kSignal
  std::wstring kept_;    // text to go on with
  int kept_cursor_ = 0;  // characters before the cursor in it
};

}  // namespace fulmen
