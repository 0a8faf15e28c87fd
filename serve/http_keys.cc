#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <array>
#include <utility>

#include "base/ascii.h"
#include "engine/digest.h"
#include "serve/http_server.h"

namespace fulmen {
namespace {

using Hash = std::array<unsigned char, SHA256_DIGEST_LENGTH>;

Hash HashOf(std::string_view text) {
  Hash hash;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash.data());
  return hash;
}

// The key of "Bearer KEY"; empty where it is something else.
std::string_view BearerToken(std::string_view value) {
  constexpr std::string_view kScheme = "bearer ";
  if (!SameIgnoringCase(value.substr(0, kScheme.size()), kScheme)) return "";
  value.remove_prefix(kScheme.size());
  while (value.starts_with(' ')) value.remove_prefix(1);
  return value;
}

}  // namespace

ApiError KeyError(std::string_view shown) {
  if (!shown.empty()) return {ApiErrorKind::kAuthentication, "the API key is not known"};
  return {ApiErrorKind::kAuthentication,
          "expected an API key, as 'Authorization: Bearer KEY' or 'x-api-key: KEY'"};
}

std::string_view ApiKeyOf(const HttpRequest& request) {
  const std::string_view bearer = BearerToken(request.Header("authorization"));
  return bearer.empty() ? request.Header("x-api-key") : bearer;
}

Authorize AuthorizeKeys(const std::vector<std::string>& keys) {
  std::vector<Hash> hashes;
  hashes.reserve(keys.size());
  for (const std::string& key : keys) hashes.push_back(HashOf(key));
  return [hashes = std::move(hashes)](const HttpRequest& request, Access) -> ApiResult<Caller> {
    const std::string_view key = ApiKeyOf(request);
    const Hash given = HashOf(key);
    bool known = false;
    for (const Hash& hash : hashes) {
      known |= CRYPTO_memcmp(hash.data(), given.data(), given.size()) == 0;
    }
    if (!known) return tl::unexpected(KeyError(key));
    const std::string space = Base64Url(DigestFields("fulmen key 1").Text(key).Digest());
    return Caller{.space = "key-" + space};
  };
}

}  // namespace fulmen
