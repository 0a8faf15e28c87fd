#include "accounts/open_requests.h"

namespace fulmen {

void OpenRequests::Put(const Reservation& open) {
  const std::lock_guard lock(mutex_);
  by_id_.insert_or_assign(open.request, open);
}

void OpenRequests::Grow(const std::string& request, int64_t output) {
  const std::lock_guard lock(mutex_);
  const auto found = by_id_.find(request);
  if (found != by_id_.end()) found->second.output += output;
}

void OpenRequests::Remove(const std::string& request) {
  const std::lock_guard lock(mutex_);
  by_id_.erase(request);
}

std::optional<Reservation> OpenRequests::Find(const std::string& request) const {
  const std::lock_guard lock(mutex_);
  const auto found = by_id_.find(request);
  if (found == by_id_.end()) return std::nullopt;
  return found->second;
}

}  // namespace fulmen
