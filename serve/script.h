// Answers from a file instead of the model's own, for tests of clients: all but the choice of
// tokens is real, the model reads what it is made to say.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace fulmen {

// A file of JSON objects, one a line: {"answer": TEXT, "when": TEXT}. TEXT is as the model would
// write it, with <think> and calls in its format. The first line whose `when` stands in the last
// message counts; without `when` a line counts always. Immutable.
class Script {
 public:
  static Result<Script> Read(const std::string& path);
  // nullptr where no line counts: then the model answers itself.
  const std::string* AnswerTo(std::string_view last_message) const;

 private:
  struct Line {
    std::string when;
    std::string answer;
  };
  std::vector<Line> lines_;
};

}  // namespace fulmen
