#include "call/think_splitter.h"

#include <algorithm>
#include <utility>

namespace fulmen {
namespace {

constexpr std::string_view kOpen = "<think>";
constexpr std::string_view kClose = "</think>";
constexpr std::string_view kSpaces = " \t\r\n";

// How many bytes at the end of `text` may be the beginning of `mark`.
size_t MayBegin(std::string_view text, std::string_view mark) {
  for (size_t length = std::min(text.size(), mark.size() - 1); length > 0; --length) {
    if (mark.starts_with(text.substr(text.size() - length))) return length;
  }
  return 0;
}

}  // namespace

Status ThinkSplitter::Feed(std::string_view text, const OnPiece& on_piece) {
  held_ += text;
  const auto hand_on = [&](bool reasoning, size_t length) -> Status {
    const std::string piece = held_.substr(0, length);
    held_.erase(0, length);
    return piece.empty() ? Status() : on_piece(reasoning, piece);
  };
  if (place_ == Place::kStart) {
    const std::string_view begun =
        std::string_view(held_).substr(std::min(held_.find_first_not_of(kSpaces), held_.size()));
    if (begun.size() < kOpen.size() && kOpen.starts_with(begun)) return {};
    if (begun.starts_with(kOpen)) {
      held_ = std::string(begun.substr(kOpen.size()));
      place_ = Place::kThoughts;
    } else {
      place_ = Place::kText;
    }
  }
  if (place_ == Place::kThoughts) {
    const size_t end = held_.find(kClose);
    if (end == std::string::npos) return hand_on(true, held_.size() - MayBegin(held_, kClose));
    FULMEN_TRY(hand_on(true, end));
    held_.erase(0, kClose.size());
    place_ = Place::kGap;
  }
  if (place_ == Place::kGap) {
    held_.erase(0, std::min(held_.find_first_not_of(kSpaces), held_.size()));
    if (held_.empty()) return {};
    place_ = Place::kText;
  }
  return hand_on(false, held_.size());
}

Status ThinkSplitter::End(const OnPiece& on_piece) {
  const std::string rest = std::exchange(held_, "");
  return rest.empty() ? Status() : on_piece(place_ == Place::kThoughts, rest);
}

}  // namespace fulmen
