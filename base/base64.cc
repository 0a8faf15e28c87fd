#include "base/base64.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/printable.h"

namespace fulmen {
namespace {

constexpr uint8_t kNone = 255;
constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<uint8_t, 256> Values() {
  std::array<uint8_t, 256> values = {};
  values.fill(kNone);
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint8_t>(i);
  }
  return values;
}

}  // namespace

std::string EncodeBase64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t b = 0; b < 3; ++b) {
      group = group << 8 | (b < count ? static_cast<uint8_t>(bytes[i + b]) : 0);
    }
    for (size_t digit = 0; digit < 4; ++digit) {
      text += digit > count ? '=' : kAlphabet[group >> (18 - 6 * digit) & 63];
    }
  }
  return text;
}

Result<std::string> DecodeBase64(std::string_view text, const std::string& where) {
  static constexpr std::array<uint8_t, 256> values = Values();
  if (text.size() % 4 != 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: expected base64 padded to whole groups of 4 characters, found {} characters",
                where, text.size());
  }
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  const std::string_view digits = text.substr(0, text.size() - padding);
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  uint32_t held = 0;  // bits that are no byte yet, the last `count` of it
  int count = 0;
  for (size_t i = 0; i < digits.size(); ++i) {
    const uint8_t value = values[static_cast<uint8_t>(digits[i])];
    if (value == kNone) {
      return Fail(ErrorCode::kInvalidArgument, "{}: expected base64, found \"{}\" at character {}",
                  where, Printable(digits.substr(i, 1)), i + 1);
    }
    held = held << 6 | value;
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes += static_cast<char>(held >> count);
    }
  }
  if ((held & ((1U << count) - 1)) != 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: expected base64, found bits behind the last byte that are not zero", where);
  }
  return bytes;
}

}  // namespace fulmen
