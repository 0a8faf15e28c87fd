#include "engine/digest.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>

#include "base/check.h"

namespace fulmen {

std::string Sha256(std::string_view bytes) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(),
         reinterpret_cast<uint8_t*>(digest.data()));
  return digest;
}

std::string Hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char byte : bytes) {
    text += kDigits[static_cast<uint8_t>(byte) >> 4];
    text += kDigits[static_cast<uint8_t>(byte) & 15];
  }
  return text;
}

std::string Base64Url(std::string_view digest) {
  FULMEN_CHECK(digest.size() == SHA256_DIGEST_LENGTH, "{} bytes are no digest", digest.size());
  std::array<uint8_t, 45> text;  // 44 and a NUL
  EVP_EncodeBlock(text.data(), reinterpret_cast<const uint8_t*>(digest.data()),
                  static_cast<int>(digest.size()));
  std::string url(text.begin(), text.begin() + 43);
  std::ranges::replace(url, '+', '-');
  std::ranges::replace(url, '/', '_');
  return url;
}

DigestFields& DigestFields::Text(std::string_view text) {
  Number(static_cast<int64_t>(text.size()));
  bytes_ += text;
  return *this;
}

DigestFields& DigestFields::Number(int64_t number) {
  for (int shift = 0; shift < 64; shift += 8) {
    bytes_ += static_cast<char>(static_cast<uint64_t>(number) >> shift);
  }
  return *this;
}

DigestFields& DigestFields::Ids(std::span<const int32_t> ids) { return Text(IdsToBytes(ids)); }

std::string IdsToBytes(std::span<const int32_t> ids) {
  std::string bytes;
  bytes.reserve(ids.size() * 4);
  for (const int32_t id : ids) {
    for (int shift = 0; shift < 32; shift += 8) {
      bytes += static_cast<char>(static_cast<uint32_t>(id) >> shift);
    }
  }
  return bytes;
}

}  // namespace fulmen
