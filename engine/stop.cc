#include "engine/stop.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace fulmen {

StopMatcher::StopMatcher(const std::vector<std::string>& stop_strings) {
  for (const std::string& text : stop_strings) {
    FULMEN_CHECK(!text.empty(), "a stop string is empty");
    Pattern pattern{text, std::vector<size_t>(text.size() + 1, 0), 0};
    for (size_t n = 2; n <= text.size(); ++n) {
      size_t length = pattern.fallback[n - 1];
      while (length > 0 && text[length] != text[n - 1]) length = pattern.fallback[length];
      pattern.fallback[n] = text[length] == text[n - 1] ? length + 1 : 0;
    }
    patterns_.push_back(std::move(pattern));
  }
}

void StopMatcher::Advance(Pattern& pattern, char next) {
  size_t matched = pattern.matched;
  while (matched > 0 && pattern.text[matched] != next) matched = pattern.fallback[matched];
  pattern.matched = pattern.text[matched] == next ? matched + 1 : 0;
}

std::string StopMatcher::Add(std::string_view text) {
  if (found_) return "";
  for (size_t i = 0; i < text.size(); ++i) {
    const Pattern* found = nullptr;
    for (Pattern& pattern : patterns_) {
      Advance(pattern, text[i]);
      if (pattern.matched < pattern.text.size()) continue;
      if (found == nullptr || pattern.matched > found->matched) found = &pattern;
    }
    if (found == nullptr) continue;
    found_ = found->text;
    std::string passed = std::exchange(held_, "");
    passed += text.substr(0, i + 1);
    passed.resize(passed.size() - found_->size());
    return passed;
  }
  size_t hold = 0;
  for (const Pattern& pattern : patterns_) hold = std::max(hold, pattern.matched);
  held_ += text;
  std::string passed = held_.substr(0, held_.size() - hold);
  held_.erase(0, passed.size());
  return passed;
}

std::string StopMatcher::Flush() {
  for (Pattern& pattern : patterns_) pattern.matched = 0;
  return std::exchange(held_, "");
}

}  // namespace fulmen
