#include "cli/line_editor.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdlib>
#include <cwchar>
#include <string_view>
#include <utility>

namespace fulmen {
namespace {

// Keys that keyboards hardly send, for commands of libedit that ours go on with.
constexpr const char* kAccept = "\x1f";
constexpr const char* kPreviousLine = "\x1d";
constexpr const char* kNextLine = "\x1e";
constexpr const char* kPreviousTurn = "\x10";  // Ctrl-P and Ctrl-N, which mean that anyway
constexpr const char* kNextTurn = "\x0e";
constexpr wchar_t kInterruptKey = L'\x03';

// The terminal puts marks around a paste while this is on.
constexpr const char* kPasteOn = "\x1b[?2004h";
constexpr const char* kPasteOff = "\x1b[?2004l";
constexpr std::wstring_view kPasteEnds = L"\x1b[201~";

// libedit has to know how characters are encoded. Where the environment does not say, as in a bare
// container, it is UTF-8.
void UseUtf8() {
  for (const char* locale : {"", "C.UTF-8", "en_US.UTF-8"}) {
    if (std::setlocale(LC_CTYPE, locale) != nullptr && MB_CUR_MAX > 1) return;
  }
}

std::wstring_view Before(const LineInfoW& line) {
  return {line.buffer, static_cast<size_t>(line.cursor - line.buffer)};
}
std::wstring_view Behind(const LineInfoW& line) {
  return {line.cursor, static_cast<size_t>(line.lastchar - line.cursor)};
}

void MoveToEnd(EditLine* line) {
  el_cursor(line, static_cast<int>(Behind(*el_wline(line)).size()));
}

// Rows of a terminal between the first character of `text` and the place behind the last.
int RowsOf(std::wstring_view text, int columns) {
  int row = 0;
  int column = 0;
  for (const wchar_t c : text) {
    const int width = std::max(wcwidth(c), 0);
    if (c == L'\n' || column + width > columns) {
      ++row;
      column = 0;
    }
    if (c != L'\n') column += width;
  }
  return row + (column == columns ? 1 : 0);
}

// Pasted lines end in carriage returns, as if Enter had been pressed.
std::wstring Unpasted(std::wstring text) {
  text.resize(text.size() - kPasteEnds.size());
  std::erase(text, L'\0');
  std::wstring lines;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != L'\r') {
      lines += text[i];
    } else if (i + 1 == text.size() || text[i + 1] != L'\n') {
      lines += L'\n';
    }
  }
  if (lines.ends_with(L'\n')) lines.pop_back();  // of the last line that was copied
  return lines;
}

}  // namespace

LineEditor::LineEditor(FILE* screen, std::string prompt)
    : screen_(screen), prompt_(std::move(prompt)), history_(history_init()) {
  UseUtf8();
  line_ = el_init("fulmen", stdin, screen, screen);
  HistEvent event;
  history(history_, &event, H_SETSIZE, static_cast<int>(ChatHistory::kMost));
  history(history_, &event, H_SETUNIQUE, 1);
  for (const std::string& turn : stored_.Load()) history(history_, &event, H_ENTER, turn.c_str());
  el_set(line_, EL_CLIENTDATA, this);
  el_set(line_, EL_PROMPT, &LineEditor::Prompt);
  el_set(line_, EL_HIST, history, history_);
  el_set(line_, EL_GETCFN, &LineEditor::GetCharacter);
  el_set(line_, EL_EDITOR, "emacs");
  el_source(line_, nullptr);  // the user's own ~/.editrc
  BindKeys();
}

LineEditor::~LineEditor() {
  el_end(line_);
  history_end(history_);
}

void LineEditor::BindKeys() {
  struct Function {
    const char* name;
    unsigned char (*function)(EditLine*, int);
    std::initializer_list<const char*> keys;
  };
  const Function functions[] = {
      {"fulmen-enter", &OnEnter, {"\r", "\n"}},
      {"fulmen-newline", &OnNewline, {"\x1b\r", "\x1b\n"}},
      {"fulmen-clear", &OnClear, {"\x03"}},
      {"fulmen-suspend", &OnSuspend, {"\x1a"}},
      {"fulmen-paste", &OnPaste, {"\x1b[200~"}},
      {"fulmen-up", &OnUp, {"\x1b[A", "\x1bOA"}},
      {"fulmen-down", &OnDown, {"\x1b[B", "\x1bOB"}},
  };
  for (const Function& each : functions) {
    el_set(line_, EL_ADDFN, each.name, "", each.function);
    for (const char* key : each.keys) el_set(line_, EL_BIND, key, each.name, nullptr);
  }
  constexpr std::pair<const char*, const char*> kBuiltIn[] = {
      {kAccept, "ed-newline"},
      {kPreviousLine, "ed-prev-line"},
      {kNextLine, "ed-next-line"},
      {kPreviousTurn, "ed-prev-history"},
      {kNextTurn, "ed-next-history"},
      {"\x12", "em-inc-search-prev"},
      {"\x1b[3~", "ed-delete-next-char"},
  };
  for (const auto& [key, name] : kBuiltIn) el_set(line_, EL_BIND, key, name, nullptr);
  // Ctrl-C and Ctrl-Z are keys while a line is edited, and a carriage return is what it is.
  el_set(line_, EL_SETTY, "-d", "-isig", "-icrnl", "-inlcr", nullptr);
}

LineEditor& LineEditor::Of(EditLine* line) {
  LineEditor* self = nullptr;
  el_get(line, EL_CLIENTDATA, &self);
  return *self;
}

TurnOutcome LineEditor::Read(std::string& text) {
  kept_.clear();
  while (true) {
    event_ = Event::kNone;
    int count = 0;
    const char* typed = Edit(count);
    switch (event_) {
      case Event::kNone:
        if (typed == nullptr || count <= 0) return TurnOutcome::kEnd;
        text.assign(typed, static_cast<size_t>(count));
        if (text.back() == '\n') text.pop_back();
        if (!text.empty()) Remember(text);
        return TurnOutcome::kTurn;
      case Event::kClear:
        kept_.clear();
        break;
      case Event::kSuspend:
        kill(0, SIGTSTP);  // as the terminal does: all that were started together
        break;
      case Event::kSignal:
        raise(signal_);
        if (signal_ != SIGTSTP && signal_ != SIGCONT) return TurnOutcome::kSignal;
    }
  }
}

const char* LineEditor::Edit(int& count) {
  const auto show = [this](const char* text) {
    std::fputs(text, screen_);
    std::fflush(screen_);
  };
  SignalPipe signals({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH});
  signals_ = &signals;
  el_set(line_, EL_PREP_TERM, 1);  // before a prompt invites keys, or Ctrl-D means something else
  show(kPasteOn);
  const char* typed = el_gets(line_, &count);
  show(event_ == Event::kSignal ? "\n" : "");
  show(kPasteOff);
  signals_ = nullptr;
  return typed;
}

void LineEditor::Remember(const std::string& turn) {
  HistEvent event;
  history(history_, &event, H_ENTER, turn.c_str());
  stored_.Add(turn);
}

void LineEditor::Keep() {
  const LineInfoW& line = *el_wline(line_);
  kept_.assign(line.buffer, line.lastchar);
  kept_cursor_ = static_cast<int>(Before(line).size());
}

void LineEditor::PutBack() {
  el_winsertstr(line_, kept_.c_str());
  el_cursor(line_, kept_cursor_ - static_cast<int>(kept_.size()));
  kept_.clear();
  std::fputc('\r', screen_);  // libedit draws from the left, over the prompt
  el_set(line_, EL_REFRESH);
}

void LineEditor::Resize() {
  el_resize(line_);
  winsize size = {};
  if (ioctl(fileno(screen_), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return;
  // Terminals wrap what they show anew, and keep the cursor at its character.
  std::wstring above(prompt_.begin(), prompt_.end());
  above += Before(*el_wline(line_));
  const int rows = std::min(RowsOf(above, size.ws_col), size.ws_row - 1);
  const std::string up = rows > 0 ? fmt::format("\x1b[{}A", rows) : "";
  std::fputs(fmt::format("\r{}\x1b[J", up).c_str(), screen_);
  el_set(line_, EL_REFRESH);
}

int LineEditor::GetCharacter(EditLine* line, wchar_t* character) {
  LineEditor& self = Of(line);
  if (!self.kept_.empty()) self.PutBack();
  std::string bytes;
  while (true) {
    const int signal = self.signals_->Wait(STDIN_FILENO);
    if (signal == SIGWINCH) {
      self.Resize();
      continue;
    }
    if (signal == SIGINT) {
      *character = kInterruptKey;
      return 1;
    }
    if (signal != 0) {
      self.Keep();
      self.event_ = Event::kSignal;
      self.signal_ = signal;
      return -1;
    }
    char byte = 0;
    const ssize_t count = read(STDIN_FILENO, &byte, 1);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count <= 0) return static_cast<int>(count);
    bytes += byte;
    std::mbstate_t state = {};
    size_t used = std::mbrtowc(character, bytes.data(), bytes.size(), &state);
    if (used == static_cast<size_t>(-1)) {  // not UTF-8: the byte may begin a character that is
      bytes = byte;
      state = {};
      used = std::mbrtowc(character, bytes.data(), bytes.size(), &state);
      if (used == static_cast<size_t>(-1)) bytes.clear();
    }
    if (used <= bytes.size() && !bytes.empty()) return 1;
  }
}

unsigned char LineEditor::OnEnter(EditLine* line, int) {
  const LineInfo& typed = *el_line(line);
  const std::string_view text(typed.buffer, static_cast<size_t>(typed.lastchar - typed.buffer));
  const bool goes_on = text.ends_with('\\');
  if (!goes_on && !IsOpenBlock(text)) {
    el_push(line, kAccept);
    return CC_NORM;
  }
  MoveToEnd(line);
  if (goes_on) el_deletestr(line, 1);
  el_insertstr(line, "\n");
  return CC_REFRESH;
}

unsigned char LineEditor::OnNewline(EditLine* line, int) {
  el_insertstr(line, "\n");
  return CC_REFRESH;
}

unsigned char LineEditor::OnClear(EditLine* line, int) {
  const LineInfoW& typed = *el_wline(line);
  if (typed.lastchar == typed.buffer) return CC_EOF;
  Of(line).event_ = Event::kClear;
  MoveToEnd(line);
  el_insertstr(line, "^C");
  el_push(line, kAccept);
  return CC_REFRESH;
}

unsigned char LineEditor::OnSuspend(EditLine* line, int) {
  Of(line).Keep();
  Of(line).event_ = Event::kSuspend;
  el_push(line, kAccept);
  return CC_NORM;
}

unsigned char LineEditor::OnPaste(EditLine* line, int) {
  std::wstring text;
  while (!text.ends_with(kPasteEnds)) {
    wchar_t character = 0;
    if (el_wgetc(line, &character) != 1) return CC_EOF;
    text += character;
  }
  el_winsertstr(line, Unpasted(std::move(text)).c_str());
  return CC_REFRESH;
}

unsigned char LineEditor::OnUp(EditLine* line, int) {
  const bool above = Before(*el_wline(line)).find(L'\n') != std::wstring_view::npos;
  el_push(line, above ? kPreviousLine : kPreviousTurn);
  return CC_NORM;
}

unsigned char LineEditor::OnDown(EditLine* line, int) {
  const bool below = Behind(*el_wline(line)).find(L'\n') != std::wstring_view::npos;
  el_push(line, below ? kNextLine : kNextTurn);
  return CC_NORM;
}

}  // namespace fulmen
