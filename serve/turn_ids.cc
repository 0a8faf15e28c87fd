#include "serve/turn_ids.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace fulmen {
namespace {

constexpr std::string_view kTurn = "turn_";
constexpr size_t kAddress = 22;  // letters, digits, - and _ behind it

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsOfAddress(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

}  // namespace

std::string TurnItemId(std::string_view prefix, std::string_view handle, int64_t number) {
  return fmt::format("{}{}_{}", prefix, handle, number);
}

std::optional<std::string> HandleIn(std::string_view id) {
  const size_t begin = id.find(kTurn);
  if (begin == std::string_view::npos) return std::nullopt;
  const std::string_view handle = id.substr(begin, kTurn.size() + kAddress);
  const std::string_view rest = id.substr(begin + handle.size());
  const bool numbered =
      rest.starts_with('_') && rest.size() > 1 && std::ranges::all_of(rest.substr(1), IsDigit);
  if (handle.size() != kTurn.size() + kAddress || !std::ranges::all_of(handle, IsOfAddress) ||
      !(rest.empty() || numbered)) {
    return std::nullopt;
  }
  return std::string(handle);
}

void AgreedHandle::Note(std::string_view id) {
  std::optional<std::string> found = HandleIn(id);
  if (!found) return;
  differ_ = differ_ || (handle_ && *handle_ != *found);
  handle_ = std::move(found);
}

}  // namespace fulmen
