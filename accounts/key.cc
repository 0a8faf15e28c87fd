#include "accounts/key.h"

#include <sys/random.h>

#include <utility>

#include "accounts/gcra.h"
#include "base/check.h"
#include "engine/digest.h"

namespace fulmen {
namespace {

std::string RandomBytes(size_t size) {
  std::string bytes(size, '\0');
  // Up to 256 bytes come whole.
  FULMEN_CHECK(getrandom(bytes.data(), size, 0) == static_cast<ssize_t>(size),
               "the system gives no random bytes");
  return bytes;
}

}  // namespace

std::string_view KeyScopeName(KeyScope scope) {
  return scope == KeyScope::kAdmin ? "admin" : "inference";
}

Status CheckLimits(const KeyLimits& limits) {
  const std::pair<const char*, int64_t> all[] = {
      {"requests per minute", limits.requests_per_minute},
      {"tokens per minute", limits.tokens_per_minute},
      {"concurrent requests", limits.concurrent}};
  for (const auto& [name, value] : all) {
    if (value < 0 || value > kLargestPerMinute) {
      return Fail(ErrorCode::kInvalidArgument, "a limit of {} should be from 0 to {}, found {}",
                  name, kLargestPerMinute, value);
    }
  }
  if (limits.spend_per_day.nanos >= 0) return {};
  return Fail(ErrorCode::kInvalidArgument, "a limit of spending should not be negative, found {}",
              FormatMoney(limits.spend_per_day));
}

Secret NewSecret() { return Secret("sk-fulmen-" + Base64Url(RandomBytes(32))); }

std::string NewKeyId() { return "key_" + Hex(RandomBytes(12)); }

std::string NewServerId() { return "server_" + Hex(RandomBytes(12)); }

std::string HashOfSecret(std::string_view secret) { return Sha256(secret); }

}  // namespace fulmen
