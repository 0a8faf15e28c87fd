// Strings that stand for one token wherever they occur, special or not.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace fulmen {

// A set of strings with ids, searched for in text: the leftmost match, of several the longest.
class StringMatcher {
 public:
  struct Match {
    size_t begin;
    size_t end;
    int32_t id;
  };

  // Empty strings are left out.
  void Add(std::string_view string, int32_t id);
  bool empty() const { return nodes_.size() == 1; }
  // Appends the matches in `text`, which begins at `offset` of the caller's, from left to right.
  void FindAll(std::string_view text, size_t offset, std::vector<Match>& matches) const;

 private:
  struct Node {
    int32_t id = -1;  // of the string that ends here
    std::vector<std::pair<char, uint32_t>> next;
  };

  // Bytes of the longest string at the beginning of `text`, 0 if none is there.
  size_t MatchAt(std::string_view text, int32_t& id) const;

  std::vector<Node> nodes_{1};  // a trie
  std::array<bool, 256> first_{};
  int first_count_ = 0;
  char only_first_ = 0;
};

}  // namespace fulmen
