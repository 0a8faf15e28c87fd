// SHA-256 of what is kept, for checksums and content addresses.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace fulmen {

// 32 bytes.
std::string Sha256(std::string_view bytes);
std::string Hex(std::string_view bytes);
// Of 32 bytes: 43 letters, digits, - and _ (base64url without its padding).
std::string Base64Url(std::string_view digest);

// Fields one after another, each behind its length, so that no two lists of fields have the same
// bytes. `purpose` keeps digests of different things apart.
class DigestFields {
 public:
  explicit DigestFields(std::string_view purpose) { Text(purpose); }
  DigestFields& Text(std::string_view text);
  DigestFields& Number(int64_t number);
  DigestFields& Ids(std::span<const int32_t> ids);
  std::string Digest() const { return Sha256(bytes_); }

 private:
  std::string bytes_;
};

// Token ids as bytes, four each, the lowest first.
std::string IdsToBytes(std::span<const int32_t> ids);

}  // namespace fulmen
