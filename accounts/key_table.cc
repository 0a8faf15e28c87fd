#include "accounts/key_table.h"

#include <utility>

namespace fulmen {
namespace {

bool IsGood(const Key& key, int64_t now) {
  const bool expired = key.settings.expires != 0 && key.settings.expires <= now;
  return key.revoked == 0 && !expired;
}

}  // namespace

void KeyTable::Put(KeyNews&& news, int64_t now) {
  const std::lock_guard lock(mutex_);
  for (auto& [hash, key] : news.keys) {
    ids_[hash] = key.id;
    by_id_.insert_or_assign(key.id, std::move(key));
  }
  for (Login& login : news.logins) {
    const std::string hash = login.hash;
    logins_.insert_or_assign(hash, std::move(login));
  }
  if (news.logins.empty()) return;
  std::erase_if(logins_, [now](const auto& each) {
    return each.second.ended != 0 || each.second.expires <= now;
  });
}

std::optional<Key> KeyTable::Find(std::string_view secret, int64_t now) const {
  const std::string hash = HashOfSecret(secret);
  const std::lock_guard lock(mutex_);
  ++lookups_;
  const auto found = ids_.find(hash);
  if (found == ids_.end()) return std::nullopt;
  const Key& key = by_id_.at(found->second);
  if (!IsGood(key, now)) return std::nullopt;
  return key;
}

std::optional<Key> KeyTable::FindLogin(std::string_view secret, int64_t now) const {
  const std::string hash = HashOfSecret(secret);
  const std::lock_guard lock(mutex_);
  ++lookups_;
  const auto found = logins_.find(hash);
  if (found == logins_.end()) return std::nullopt;
  const Login& login = found->second;
  if (login.ended != 0 || login.expires <= now) return std::nullopt;
  const auto key = by_id_.find(login.key);
  if (key == by_id_.end() || !IsGood(key->second, now)) return std::nullopt;
  return key->second;
}

std::optional<Key> KeyTable::OfId(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return std::nullopt;
  return found->second;
}

std::string KeyTable::OrganisationOf(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? "" : found->second.organisation;
}

int64_t KeyTable::lookups() const {
  const std::lock_guard lock(mutex_);
  return lookups_;
}

}  // namespace fulmen
