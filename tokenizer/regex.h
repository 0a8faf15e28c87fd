// Split patterns other than the published one, through Oniguruma: the engine Hugging Face
// tokenizers uses, in Debian's version, whose Unicode tables are older (see docs/tokenizer.md).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace fulmen {

// Immutable and safe to share between threads.
class Regex {
 public:
  static Result<Regex> Compile(const std::string& pattern, const std::string& where);

  // Calls found(begin, end) for every match from left to right, empty ones included. To the pattern
  // a byte that is no part of valid UTF-8 is U+0001. False when the engine gave up (a pattern that
  // backtracks without end): nothing past the last match was looked at.
  bool ForEachMatch(std::string_view text, const std::function<void(size_t, size_t)>& found) const;

 private:
  struct Free {
    void operator()(void* regex) const;
  };
  explicit Regex(void* regex) : regex_(regex) {}

  std::unique_ptr<void, Free> regex_;
};

}  // namespace fulmen
