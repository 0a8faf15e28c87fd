#include "serve/script.h"

#include <fmt/core.h>

#include <sstream>
#include <utility>

#include "base/file_io.h"

namespace fulmen {

Result<Script> Script::Read(const std::string& path) {
  FULMEN_ASSIGN(const std::string text, ReadFile(path));
  Script script;
  std::istringstream lines(text);
  int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::string where = fmt::format("{}, line {}", path, ++number);
    FULMEN_ASSIGN(const Json json, ParseJson(line, where));
    FULMEN_ASSIGN(std::string answer, StringMember(json, "answer", where));
    std::string when;
    if (!Member(json, "when").is_null()) {
      FULMEN_ASSIGN(when, StringMember(json, "when", where));
    }
    script.lines_.push_back({std::move(when), std::move(answer)});
  }
  return script;
}

const std::string* Script::AnswerTo(std::string_view last_message) const {
  for (const Line& line : lines_) {
    if (last_message.find(line.when) != std::string_view::npos) return &line.answer;
  }
  return nullptr;
}

}  // namespace fulmen
