// JSON as it arrives: one byte at a time, in constant memory.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string>

namespace fulmen {

// The whitespace of JSON.
constexpr bool IsJsonSpace(char byte) {
  return byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r';
}

// Follows one JSON value, strictly by RFC 8259, and tells with which byte it ends or breaks: the
// bytes before a kBad are always the beginning of some value. What the grammar lets pass but
// parsers refuse is refused here as well: strings that are not UTF-8 or hold half a surrogate pair,
// numbers of 1e308 and beyond, nesting past kMaxDepth. A key that stands twice goes unnoticed.
// Constant time for each byte. Not thread-safe.
class JsonScanner {
 public:
  static constexpr size_t kMaxDepth = 128;

  enum class Step : uint8_t {
    kMore,   // the byte belongs to the value, or to the space before it
    kDone,   // the byte is the value's last
    kAfter,  // the value is a number, which ended before this byte: the byte is not part of it
    kBad,    // no value goes on with this byte
  };
  // The next byte. After any Step but kMore every byte is bad.
  Step Add(char byte);

 private:
  enum class State : uint8_t {
    kValue,
    kFirstElement,  // or the end of the array
    kFirstKey,      // or the end of the object
    kKey,
    kColon,
    kNext,  // a comma or the end of what is open
    kString,
    kEscape,
    kHex,
    kLowSlash,  // the second half of a surrogate pair has to follow
    kLowU,
    kLiteral,
    kMinus,
    kZero,
    kInteger,
    kPoint,
    kFraction,
    kE,
    kExponentSign,
    kExponent,
    kOver,
  };
  Step AddToStructure(char byte);
  Step AddToString(char byte);
  Step AddToUtf8(uint8_t byte);
  Step AddToHex(char byte);
  Step AddToNumber(char byte);
  Step BeginValue(char byte);
  Step Open(char byte);
  Step EndValue();
  Step EndNumber(char byte);
  bool IsTooLarge() const;
  Step Go(State state);
  Step Bad();

  State state_ = State::kValue;
  std::bitset<kMaxDepth> is_object_;  // of what is open, by depth
  size_t depth_ = 0;
  bool in_key_ = false;

  const char* literal_ = "";  // what must follow of true, false or null

  // Of a character in UTF-8: how many bytes must follow, and the range of the next.
  int utf8_left_ = 0;
  uint8_t utf8_low_ = 0;
  uint8_t utf8_high_ = 0;

  // Of \uXXXX.
  int hex_digits_ = 0;
  uint32_t hex_code_ = 0;
  bool wants_low_ = false;  // the first half of a pair came before

  // Of a number: it lies below 10^(magnitude_ + the exponent), unless it is zero.
  bool is_zero_ = true;
  int64_t magnitude_ = 0;
  int64_t exponent_ = 0;
  bool exponent_is_negative_ = false;
};

// The text that a JSON string stands for, from the bytes between its quotes. Takes only bytes that
// a JsonScanner took before, and so need not look for errors.
class JsonStringDecoder {
 public:
  // Appends what the byte completes: nothing within an escape, else a byte or a character.
  void Add(char byte, std::string& out);

 private:
  enum class State : uint8_t { kPlain, kEscape, kHex };
  State state_ = State::kPlain;
  int hex_digits_ = 0;
  uint32_t hex_code_ = 0;
  uint32_t high_ = 0;  // the first half of a surrogate pair, or 0
};

}  // namespace fulmen
