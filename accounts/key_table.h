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

// A browser that is signed in with a key.
struct Login {
  std::string hash;  // of its secret
  std::string key;   // the id of its key
  int64_t expires = 0;
  int64_t ended = 0;  // 0: not
};

// What was changed.
struct KeyNews {
  int64_t last = 0;                                    // the number of the last change
  std::vector<std::pair<std::string, Key>> keys = {};  // by their hashes
  std::vector<Login> logins = {};
};

// Keys and logins of the database that were changed after `known`.
KeyNews ReadKeyNews(Sql& sql, int64_t known);

// Thread safe.
class KeyTable {
 public:
  // Logins that are over at `now` are forgotten.
  void Put(KeyNews&& news, int64_t now);

  // The key whose owner shows `secret`. A wrong, a revoked and an expired one take the same work.
  std::optional<Key> Find(std::string_view secret, int64_t now) const;
  // The key of the browser that shows `secret`, while both are good.
  std::optional<Key> FindLogin(std::string_view secret, int64_t now) const;
  // The one with this id, good or not; nullopt where it is not known yet.
  std::optional<Key> OfId(const std::string& id) const;
  std::string OrganisationOf(const std::string& id) const;  // likewise; "" then
  // How often Find and FindLogin have hashed and looked up: once each time, whatever they were
  // shown.
  int64_t lookups() const;

 private:
  mutable std::mutex mutex_;
  mutable int64_t lookups_ = 0;
  std::unordered_map<std::string, Key> by_id_;
  std::unordered_map<std::string, std::string> ids_;  // by the hashes of keys
  std::unordered_map<std::string, Login> logins_;     // by their hashes
};

}  // namespace fulmen
