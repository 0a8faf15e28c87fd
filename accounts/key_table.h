// The keys of a ledger in memory, by their hashes: a request is let in without asking the database.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "accounts/key.h"

namespace fulmen {

// Thread safe.
class KeyTable {
 public:
  void Put(const std::string& hash, Key key);

  // The key whose owner shows `secret`. A wrong, a revoked and an expired one take the same work.
  std::optional<Key> Find(std::string_view secret, int64_t now) const;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Key> by_hash_;
};

}  // namespace fulmen
