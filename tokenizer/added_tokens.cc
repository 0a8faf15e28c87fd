#include "tokenizer/added_tokens.h"

#include <algorithm>

namespace fulmen {

void StringMatcher::Add(std::string_view string, int32_t id) {
  if (string.empty()) return;
  if (bool& seen = first_[static_cast<uint8_t>(string[0])]; !seen) {
    seen = true;
    ++first_count_;
    only_first_ = string[0];
  }
  uint32_t node = 0;
  for (const char c : string) {
    auto& next = nodes_[node].next;
    const auto found =
        std::find_if(next.begin(), next.end(), [c](const auto& edge) { return edge.first == c; });
    if (found != next.end()) {
      node = found->second;
      continue;
    }
    const auto child = static_cast<uint32_t>(nodes_.size());
    next.emplace_back(c, child);
    nodes_.emplace_back();
    node = child;
  }
  nodes_[node].id = id;
}

size_t StringMatcher::MatchAt(std::string_view text, int32_t& id) const {
  size_t longest = 0;
  uint32_t node = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto& next = nodes_[node].next;
    const auto found = std::find_if(next.begin(), next.end(),
                                    [&](const auto& edge) { return edge.first == text[i]; });
    if (found == next.end()) break;
    node = found->second;
    if (nodes_[node].id < 0) continue;
    longest = i + 1;
    id = nodes_[node].id;
  }
  return longest;
}

void StringMatcher::FindAll(std::string_view text, size_t offset,
                            std::vector<Match>& matches) const {
  if (empty()) return;
  size_t at = 0;
  while (at < text.size()) {
    if (first_count_ == 1) {
      at = text.find(only_first_, at);
    } else {
      while (at < text.size() && !first_[static_cast<uint8_t>(text[at])]) ++at;
    }
    if (at >= text.size()) return;
    int32_t id = -1;
    const size_t length = MatchAt(text.substr(at), id);
    if (length == 0) {
      ++at;
      continue;
    }
    matches.push_back({offset + at, offset + at + length, id});
    at += length;
  }
}

}  // namespace fulmen
