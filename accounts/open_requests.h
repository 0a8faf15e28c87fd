// This server's requests under way, in memory: what one may cost is known while the database is
// away.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "accounts/reservation.h"

namespace fulmen {

// Thread safe.
class OpenRequests {
 public:
  void Put(const Reservation& open);
  void Grow(const std::string& request, int64_t output);
  void Remove(const std::string& request);
  std::optional<Reservation> Find(const std::string& request) const;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Reservation> by_id_;
};

}  // namespace fulmen
