// A set of bytes.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <string_view>

namespace fulmen {

class ByteSet {
 public:
  constexpr ByteSet() = default;
  static constexpr ByteSet All() { return ByteSet().Complement(); }
  static constexpr ByteSet Of(uint8_t byte) { return Range(byte, byte); }
  static constexpr ByteSet Of(std::string_view bytes) {
    ByteSet set;
    for (const char byte : bytes) set.Insert(static_cast<uint8_t>(byte));
    return set;
  }
  // `first` to `last`, both included.
  static constexpr ByteSet Range(uint8_t first, uint8_t last) {
    ByteSet set;
    for (int byte = first; byte <= last; ++byte) set.Insert(static_cast<uint8_t>(byte));
    return set;
  }

  constexpr void Insert(uint8_t byte) { words_[byte / 64] |= uint64_t{1} << (byte % 64); }
  constexpr bool Has(uint8_t byte) const { return (words_[byte / 64] >> (byte % 64) & 1) != 0; }
  constexpr bool IsEmpty() const { return (words_[0] | words_[1] | words_[2] | words_[3]) == 0; }
  constexpr int Count() const {
    int count = 0;
    for (const uint64_t word : words_) count += std::popcount(word);
    return count;
  }
  // The lowest byte; the set must not be empty.
  constexpr uint8_t First() const {
    int at = 0;
    while (words_[at] == 0) ++at;
    return static_cast<uint8_t>(64 * at + std::countr_zero(words_[at]));
  }

  constexpr ByteSet Complement() const {
    ByteSet set;
    for (int at = 0; at < 4; ++at) set.words_[at] = ~words_[at];
    return set;
  }
  constexpr ByteSet& operator&=(const ByteSet& other) {
    for (int at = 0; at < 4; ++at) words_[at] &= other.words_[at];
    return *this;
  }
  constexpr ByteSet& operator|=(const ByteSet& other) {
    for (int at = 0; at < 4; ++at) words_[at] |= other.words_[at];
    return *this;
  }
  friend constexpr ByteSet operator&(ByteSet a, const ByteSet& b) { return a &= b; }
  friend constexpr ByteSet operator|(ByteSet a, const ByteSet& b) { return a |= b; }
  friend constexpr bool operator==(const ByteSet&, const ByteSet&) = default;

  // Four words of 64 bytes each, byte 0 lowest.
  constexpr const std::array<uint64_t, 4>& words() const { return words_; }
  static constexpr ByteSet FromWords(const std::array<uint64_t, 4>& words) {
    ByteSet set;
    set.words_ = words;
    return set;
  }

 private:
  std::array<uint64_t, 4> words_{};
};

}  // namespace fulmen
