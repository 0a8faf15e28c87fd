#include "tokenizer/byte_level.h"

#include <array>
#include <cstdint>

#include "base/utf8.h"

namespace fulmen {
namespace {

struct Alphabet {
  std::array<uint16_t, 256> code;   // byte -> code point
  std::array<int16_t, 0x144> byte;  // code point -> byte, -1 for none
};

// Printable Latin-1 stands for itself, the rest for the code points from 256 on.
constexpr Alphabet MakeAlphabet() {
  Alphabet alphabet{};
  for (int16_t& byte : alphabet.byte) byte = -1;
  uint16_t next = 256;
  for (uint16_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    alphabet.code[byte] = printable ? byte : next++;
    alphabet.byte[alphabet.code[byte]] = static_cast<int16_t>(byte);
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = MakeAlphabet();

}  // namespace

std::optional<std::string> BytesFromSpelling(std::string_view spelling) {
  std::string bytes;
  bytes.reserve(spelling.size());
  const char* end = spelling.data() + spelling.size();
  for (const char* p = spelling.data(); p != end;) {
    const Utf8Char c = DecodeUtf8(p, end);
    if (c.kind != Utf8Char::Kind::kValid || c.code >= kAlphabet.byte.size() ||
        kAlphabet.byte[c.code] < 0) {
      return std::nullopt;
    }
    bytes.push_back(static_cast<char>(kAlphabet.byte[c.code]));
    p += c.bytes;
  }
  return bytes;
}

std::string SpellingFromBytes(std::string_view bytes) {
  std::string spelling;
  for (const char byte : bytes) AppendUtf8(kAlphabet.code[static_cast<uint8_t>(byte)], spelling);
  return spelling;
}

}  // namespace fulmen
