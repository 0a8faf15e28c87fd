// Answers that begin with their reasoning between <think> and </think>, taken apart.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace fulmen {

// Not thread safe.
class ThinkSplitter {
 public:
  using OnPiece = std::function<Status(bool reasoning, std::string_view text)>;

  // Hands on what can be told apart so far; spaces and line breaks around the marks are left out.
  Status Feed(std::string_view text, const OnPiece& on_piece);
  // Hands on what is left.
  Status End(const OnPiece& on_piece);

 private:
  enum class Place { kStart, kThoughts, kGap, kText };

  Place place_ = Place::kStart;
  std::string held_;  // may be the beginning of a mark
};

}  // namespace fulmen
