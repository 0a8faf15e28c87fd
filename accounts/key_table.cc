#include "accounts/key_table.h"

#include <utility>

namespace fulmen {

void KeyTable::Put(const std::string& hash, Key key) {
  const std::lock_guard lock(mutex_);
  organisations_[key.id] = key.organisation;
  by_hash_.insert_or_assign(hash, std::move(key));
}

std::optional<Key> KeyTable::Find(std::string_view secret, int64_t now) const {
  const std::string hash = HashOfSecret(secret);
  const std::lock_guard lock(mutex_);
  ++lookups_;
  const auto found = by_hash_.find(hash);
  if (found == by_hash_.end()) return std::nullopt;
  const Key& key = found->second;
  const bool expired = key.settings.expires != 0 && key.settings.expires <= now;
  if (key.revoked != 0 || expired) return std::nullopt;
  return key;
}

int64_t KeyTable::lookups() const {
  const std::lock_guard lock(mutex_);
  return lookups_;
}

std::string KeyTable::OrganisationOf(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto found = organisations_.find(id);
  return found == organisations_.end() ? "" : found->second;
}

}  // namespace fulmen
