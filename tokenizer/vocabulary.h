// Tokens and their ids, both ways.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace fulmen {

class Vocabulary {
 public:
  // Room for ids below this; tables are allocated by the largest id, so a file may not ask for any.
  static constexpr int64_t kMaxSize = int64_t{1} << 22;

  // Gives `id` these bytes. Find() finds the first id a string was given. An error if the id has
  // other bytes already or is outside [0, kMaxSize).
  Status Add(std::string_view bytes, int64_t id, const std::string& where);

  // Gives a token other bytes; its old ones are found no longer.
  void Rename(int32_t id, std::string_view bytes);

  // nullopt for ids without a token.
  std::optional<std::string_view> Bytes(int64_t id) const;
  std::optional<int32_t> Find(std::string_view bytes) const;

  // Highest id + 1.
  int64_t size() const { return static_cast<int64_t>(spans_.size()); }
  size_t longest() const { return longest_; }

  // A token that byte pair encoding makes of its own bytes may be looked up instead of merged.
  void MarkWhole(int32_t id);
  // The id of a token so marked.
  std::optional<int32_t> FindWhole(std::string_view bytes) const;

 private:
  struct Span {
    size_t begin = 0;
    size_t length = kNone;
    static constexpr size_t kNone = ~size_t{0};
  };
  // An open-addressing table. Up to 8 bytes the key is the text itself, else its hash.
  struct Slot {
    uint64_t key = 0;
    uint32_t length = 0;
    int32_t id = -1;                               // -1: free
    static constexpr uint32_t kGone = UINT32_MAX;  // as length: the token was renamed
  };

  static uint64_t Key(std::string_view bytes);
  size_t Home(uint64_t key, size_t length) const;
  const Slot* FindSlot(std::string_view bytes) const;
  void Grow();
  void Insert(std::string_view bytes, int32_t id);

  std::string text_;  // all tokens, one behind the other
  std::vector<Span> spans_;
  std::vector<Slot> slots_;
  std::vector<bool> whole_;
  size_t used_ = 0;
  size_t longest_ = 0;
};

}  // namespace fulmen
