#include "cli/turn.h"

namespace fulmen {
namespace {

constexpr std::string_view kQuotes = "\"\"\"";

}  // namespace

bool IsOpenBlock(std::string_view text) {
  return text.starts_with(kQuotes) && text.find(kQuotes, kQuotes.size()) == std::string_view::npos;
}

std::string UnwrapBlock(std::string_view text) {
  // Quotes that are closed before the end belong to the text.
  if (!text.starts_with(kQuotes) ||
      text.find(kQuotes, kQuotes.size()) != text.size() - kQuotes.size()) {
    return std::string(text);
  }
  text.remove_prefix(kQuotes.size());
  text.remove_suffix(kQuotes.size());
  if (text.starts_with('\n')) text.remove_prefix(1);
  if (text.ends_with('\n')) text.remove_suffix(1);
  return std::string(text);
}

}  // namespace fulmen
