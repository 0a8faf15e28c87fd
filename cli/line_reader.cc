#include "cli/line_reader.h"

#include <histedit.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <utility>

namespace fulmen {

// libedit on the terminal. The prompt and what is typed are talk, so they go to standard error.
class LineReader::Editor {
 public:
  Editor() : history_(history_init()), line_(el_init("fulmen", stdin, stderr, stderr)) {
    std::setlocale(LC_CTYPE, "");  // libedit counts characters, not bytes
    HistEvent event;
    history(history_, &event, H_SETSIZE, 1000);
    el_set(line_, EL_CLIENTDATA, this);
    el_set(line_, EL_PROMPT, &Prompt);
    el_set(line_, EL_EDITOR, "emacs");
    el_set(line_, EL_HIST, history, history_);
    el_set(line_, EL_BIND, "^[[3~", "ed-delete-next-char", nullptr);
    el_source(line_, nullptr);  // the user's own ~/.editrc
  }
  ~Editor() {
    el_end(line_);
    history_end(history_);
  }
  Editor(const Editor&) = delete;
  Editor& operator=(const Editor&) = delete;

  Outcome Read(const std::string& prompt, std::string& line) {
    prompt_ = prompt;
    int count = 0;
    errno = 0;
    const char* text = el_gets(line_, &count);
    if (text == nullptr || count <= 0) {
      return errno == EINTR ? Outcome::kInterrupted : Outcome::kEnd;
    }
    line.assign(text, static_cast<size_t>(count));
    if (line.back() == '\n') line.pop_back();
    HistEvent event;
    if (!line.empty()) history(history_, &event, H_ENTER, line.c_str());
    return Outcome::kLine;
  }

 private:
  static const char* Prompt(EditLine* line) {
    Editor* self = nullptr;
    el_get(line, EL_CLIENTDATA, &self);
    return self->prompt_.c_str();
  }

  History* history_;
  EditLine* line_;
  std::string prompt_;
};

LineReader::LineReader() {
  if (isatty(STDIN_FILENO) == 1) editor_ = std::make_unique<Editor>();
}

LineReader::~LineReader() = default;

LineReader::Outcome LineReader::Read(const std::string& prompt, std::string& line) {
  line.clear();
  std::string shown = prompt;
  while (true) {
    std::string part;
    const Outcome outcome = editor_ ? editor_->Read(shown, part) : ReadOne(part);
    if (outcome != Outcome::kLine) return outcome;
    line += part;
    if (line.empty() || line.back() != '\\') return outcome;
    line.back() = '\n';
    shown.assign(prompt.size(), '.');
    shown.back() = ' ';
  }
}

// Reads the descriptor itself: streams retry after a signal, or take it for the end of the input.
LineReader::Outcome LineReader::ReadOne(std::string& line) {
  while (true) {
    if (const size_t end = buffer_.find('\n'); end != std::string::npos) {
      line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return Outcome::kLine;
    }
    std::array<char, 4096> bytes;
    const ssize_t count = read(STDIN_FILENO, bytes.data(), bytes.size());
    if (count > 0) {
      buffer_.append(bytes.data(), static_cast<size_t>(count));
    } else if (count < 0 && errno == EINTR) {
      return Outcome::kInterrupted;
    } else if (buffer_.empty()) {
      return Outcome::kEnd;
    } else {
      line = std::exchange(buffer_, "");
      return Outcome::kLine;
    }
  }
}

}  // namespace fulmen
