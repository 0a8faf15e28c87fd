// The keys of a ledger in memory, by their hashes: a request is let in without asking the database.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "accounts/key.h"
#include "accounts/sql.h"

namespace fulmen {

// Keys that were changed, by their hashes.
struct KeyNews {
  int64_t last = 0;  // the number of the last change
  std::vector<std::pair<std::string, Key>> keys = {};
};

// Those of the database that were changed after `known`.
KeyNews ReadKeyNews(Sql& sql, int64_t known);

// Thread safe.
class KeyTable {
 public:
  void Put(const std::string& hash, Key key);

  // The key whose owner shows `secret`. A wrong, a revoked and an expired one take the same work.
  std::optional<Key> Find(std::string_view secret, int64_t now) const;
  // How often Find has hashed and looked up: once each time, whatever it was shown.
  int64_t lookups() const;
  // Of the key with this id; empty where it is not known yet.
  std::string OrganisationOf(const std::string& id) const;

 private:
  mutable std::mutex mutex_;
  mutable int64_t lookups_ = 0;
  std::unordered_map<std::string, Key> by_hash_;
  std::unordered_map<std::string, std::string> organisations_;  // by the ids of their keys
};

}  // namespace fulmen
