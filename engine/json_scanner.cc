#include "engine/json_scanner.h"

#include <algorithm>
#include <string_view>

#include "base/utf8.h"

namespace fulmen {
namespace {

// Numbers from 10 to this power on are refused: not all parsers have a finite value for them.
constexpr int64_t kMaxMagnitude = 308;
// Longer exponents count as this one: no text has as many digits to make up for it.
constexpr int64_t kMaxExponent = int64_t{1} << 50;

bool IsDigit(char byte) { return byte >= '0' && byte <= '9'; }

// -1 if it is none.
int HexValue(char byte) {
  if (IsDigit(byte)) return byte - '0';
  if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
  if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
  return -1;
}

bool IsHighSurrogate(uint32_t code) { return code >= 0xD800 && code <= 0xDBFF; }
bool IsLowSurrogate(uint32_t code) { return code >= 0xDC00 && code <= 0xDFFF; }

// What the second byte of an escape stands for; those that are left stand for themselves.
char Escaped(char byte) {
  switch (byte) {
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return byte;
  }
}

}  // namespace

JsonScanner::Step JsonScanner::Add(char byte) {
  switch (state_) {
    case State::kString:
    case State::kEscape:
    case State::kHex:
    case State::kLowSlash:
    case State::kLowU:
      return AddToString(byte);
    case State::kLiteral:
      if (byte != *literal_) return Bad();
      return *++literal_ == '\0' ? EndValue() : Step::kMore;
    case State::kMinus:
    case State::kZero:
    case State::kInteger:
    case State::kPoint:
    case State::kFraction:
    case State::kE:
    case State::kExponentSign:
    case State::kExponent:
      return AddToNumber(byte);
    case State::kOver:
      return Bad();
    default:
      return AddToStructure(byte);
  }
}

JsonScanner::Step JsonScanner::Go(State state) {
  state_ = state;
  return Step::kMore;
}

JsonScanner::Step JsonScanner::Bad() {
  state_ = State::kOver;
  return Step::kBad;
}

JsonScanner::Step JsonScanner::AddToStructure(char byte) {
  if (IsJsonSpace(byte)) return Step::kMore;
  switch (state_) {
    case State::kFirstElement:
      return byte == ']' ? EndValue() : BeginValue(byte);
    case State::kFirstKey:
      if (byte == '}') return EndValue();
      [[fallthrough]];
    case State::kKey:
      in_key_ = true;
      return byte == '"' ? Go(State::kString) : Bad();
    case State::kColon:
      return byte == ':' ? Go(State::kValue) : Bad();
    case State::kNext: {
      const bool is_object = is_object_[depth_ - 1];
      if (byte == ',') return Go(is_object ? State::kKey : State::kValue);
      return byte == (is_object ? '}' : ']') ? EndValue() : Bad();
    }
    default:
      return BeginValue(byte);
  }
}

JsonScanner::Step JsonScanner::BeginValue(char byte) {
  in_key_ = false;
  is_zero_ = true;
  magnitude_ = 0;
  exponent_ = 0;
  exponent_is_negative_ = false;
  switch (byte) {
    case '{':
    case '[':
      return Open(byte);
    case '"':
      return Go(State::kString);
    case '-':
      return Go(State::kMinus);
    case 't':
      literal_ = "rue";
      return Go(State::kLiteral);
    case 'f':
      literal_ = "alse";
      return Go(State::kLiteral);
    case 'n':
      literal_ = "ull";
      return Go(State::kLiteral);
    default:
      state_ = State::kMinus;
      return AddToNumber(byte);
  }
}

JsonScanner::Step JsonScanner::Open(char byte) {
  if (depth_ == kMaxDepth) return Bad();
  is_object_[depth_++] = byte == '{';
  return Go(byte == '{' ? State::kFirstKey : State::kFirstElement);
}

// What ends is a whole value within what is open, or the array or object itself, which is closed by
// its bracket in the states where one may stand.
JsonScanner::Step JsonScanner::EndValue() {
  const bool closes =
      state_ == State::kFirstElement || state_ == State::kFirstKey || state_ == State::kNext;
  if (closes) --depth_;
  if (depth_ > 0) return Go(State::kNext);
  state_ = State::kOver;
  return Step::kDone;
}

JsonScanner::Step JsonScanner::AddToString(char byte) {
  switch (state_) {
    case State::kEscape:
      if (byte == 'u') {
        hex_digits_ = 0;
        hex_code_ = 0;
        return Go(State::kHex);
      }
      return std::string_view("\"\\/bfnrt").find(byte) != std::string_view::npos
                 ? Go(State::kString)
                 : Bad();
    case State::kHex:
      return AddToHex(byte);
    case State::kLowSlash:
      return byte == '\\' ? Go(State::kLowU) : Bad();
    case State::kLowU:
      hex_digits_ = 0;
      hex_code_ = 0;
      return byte == 'u' ? Go(State::kHex) : Bad();
    default:
      return AddToUtf8(static_cast<uint8_t>(byte));
  }
}

JsonScanner::Step JsonScanner::AddToHex(char byte) {
  const int value = HexValue(byte);
  if (value < 0) return Bad();
  hex_code_ = hex_code_ * 16 + static_cast<uint32_t>(value);
  ++hex_digits_;
  // The second digit of a half tells which half it is, so that what breaks does so early.
  if (hex_digits_ == 2) {
    const bool is_low = hex_code_ >= 0xDC && hex_code_ <= 0xDF;
    if (is_low != wants_low_) return Bad();
  }
  if (hex_digits_ == 1 && wants_low_ && hex_code_ != 0xD) return Bad();
  if (hex_digits_ < 4) return Step::kMore;
  wants_low_ = IsHighSurrogate(hex_code_);
  return Go(wants_low_ ? State::kLowSlash : State::kString);
}

// RFC 3629: which bytes may follow the first, and the range of the second.
JsonScanner::Step JsonScanner::AddToUtf8(uint8_t byte) {
  if (utf8_left_ > 0) {
    if (byte < utf8_low_ || byte > utf8_high_) return Bad();
    utf8_low_ = 0x80;
    utf8_high_ = 0xBF;
    --utf8_left_;
    return Step::kMore;
  }
  if (byte == '"') {
    if (in_key_) return Go(State::kColon);
    return EndValue();
  }
  if (byte == '\\') return Go(State::kEscape);
  if (byte < 0x20) return Bad();
  if (byte < 0x80) return Step::kMore;
  if (byte < 0xC2 || byte > 0xF4) return Bad();
  utf8_left_ = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
  utf8_low_ = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
  utf8_high_ = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
  return Step::kMore;
}

JsonScanner::Step JsonScanner::AddToNumber(char byte) {
  const bool digit = IsDigit(byte);
  const bool integer = state_ == State::kZero || state_ == State::kInteger;
  if (state_ == State::kMinus) {
    if (!digit) return Bad();
    is_zero_ = byte == '0';
    magnitude_ = is_zero_ ? 0 : 1;
    return Go(is_zero_ ? State::kZero : State::kInteger);
  }
  if (state_ == State::kInteger && digit) {
    ++magnitude_;
    return Step::kMore;
  }
  if (integer && byte == '.') return Go(State::kPoint);
  if (digit && (state_ == State::kPoint || state_ == State::kFraction)) {
    if (is_zero_ && byte == '0') --magnitude_;
    is_zero_ = is_zero_ && byte == '0';
    return Go(State::kFraction);
  }
  if ((byte == 'e' || byte == 'E') && (integer || state_ == State::kFraction)) {
    return Go(State::kE);
  }
  if (state_ == State::kE && (byte == '+' || byte == '-')) {
    exponent_is_negative_ = byte == '-';
    return Go(State::kExponentSign);
  }
  if (digit &&
      (state_ == State::kE || state_ == State::kExponentSign || state_ == State::kExponent)) {
    exponent_ = std::min(exponent_ * 10 + (byte - '0'), kMaxExponent);
    return !exponent_is_negative_ && IsTooLarge() ? Bad() : Go(State::kExponent);
  }
  return EndNumber(byte);
}

bool JsonScanner::IsTooLarge() const {
  const int64_t magnitude = magnitude_ + (exponent_is_negative_ ? -exponent_ : exponent_);
  return !is_zero_ && magnitude > kMaxMagnitude;
}

JsonScanner::Step JsonScanner::EndNumber(char byte) {
  const bool whole = state_ == State::kZero || state_ == State::kInteger ||
                     state_ == State::kFraction || state_ == State::kExponent;
  if (!whole) return Bad();
  if (IsTooLarge()) return Bad();
  if (EndValue() == Step::kDone) return Step::kAfter;
  return AddToStructure(byte);
}

void JsonStringDecoder::Add(char byte, std::string& out) {
  if (state_ == State::kPlain) {
    if (byte == '\\') {
      state_ = State::kEscape;
    } else {
      out += byte;
    }
    return;
  }
  if (state_ == State::kEscape) {
    hex_digits_ = 0;
    hex_code_ = 0;
    state_ = byte == 'u' ? State::kHex : State::kPlain;
    if (byte != 'u') out += Escaped(byte);
    return;
  }
  hex_code_ = hex_code_ * 16 + static_cast<uint32_t>(HexValue(byte));
  if (++hex_digits_ < 4) return;
  state_ = State::kPlain;
  if (IsHighSurrogate(hex_code_)) {
    high_ = hex_code_;
    return;
  }
  if (IsLowSurrogate(hex_code_)) {
    hex_code_ = 0x10000 + ((high_ - 0xD800) << 10) + (hex_code_ - 0xDC00);
  }
  AppendUtf8(hex_code_, out);
}

}  // namespace fulmen
