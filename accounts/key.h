// Keys: who asks, what for, and how much of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "accounts/money.h"
#include "base/status.h"

namespace fulmen {

// What its owner alone may know. It has no formatter, so it gets into no log and no error by
// mistake.
class Secret {
 public:
  explicit Secret(std::string text) : text_(std::move(text)) {}
  // For the one place where it is shown to its owner.
  const std::string& Reveal() const { return text_; }

 private:
  std::string text_;
};

enum class KeyScope : uint8_t { kInference, kAdmin };

std::string_view KeyScopeName(KeyScope scope);  // "inference"

struct KeyLimits {
  int64_t requests_per_minute = 0;  // 0: any number, as in the others
  int64_t tokens_per_minute = 0;    // of prompts and answers
  int64_t concurrent = 0;           // requests under way
  Money spend_per_day = {};         // a day of its organisation's time zone
};

// Errors where one is negative, or a number above kLargestPerMinute.
Status CheckLimits(const KeyLimits& limits);

struct KeySettings {
  std::string name = {};  // for people
  KeyScope scope = KeyScope::kInference;
  int64_t expires = 0;  // nanoseconds since 1970; 0: never
  KeyLimits limits = {};
};

struct Key {
  std::string id;  // may be shown: "key_...."
  std::string organisation;
  KeySettings settings;
  int64_t created = 0;
  int64_t revoked = 0;  // 0: not
};

// 256 random bits, in letters that no tool breaks.
Secret NewSecret();
// "key_" and 96 random bits.
std::string NewKeyId();
// As many.
std::string NewServerId();
// What is kept of a secret.
std::string HashOfSecret(std::string_view secret);

}  // namespace fulmen
