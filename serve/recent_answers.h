// Answers of the last while, in memory: for who asks again, on a server without a ledger.
#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <map>
#include <string>
#include <utility>

#include "accounts/kept_answer.h"
#include "base/clock.h"

namespace fulmen {

// Not thread safe.
class RecentAnswers {
 public:
  struct Limits {
    std::chrono::seconds age = std::chrono::hours(1);
    size_t bytes = size_t{64} << 20;  // of all of them; the oldest go first
  };
  RecentAnswers() : RecentAnswers(Limits()) {}
  explicit RecentAnswers(const Limits& limits) : limits_(limits) {}

  void Keep(KeptAnswer answer, Clock::time_point now);
  // Null where there is none, or not any more. Until the next call.
  const KeptAnswer* Find(const std::string& key, const std::string& name, Clock::time_point now);

 private:
  struct Entry {
    KeptAnswer answer;
    Clock::time_point kept;
  };
  using Id = std::pair<std::string, std::string>;  // key and name

  void Forget(Clock::time_point now);
  void Remove(std::list<Entry>::iterator entry);

  const Limits limits_;
  std::list<Entry> entries_;  // the oldest first
  std::map<Id, std::list<Entry>::iterator> by_id_;
  size_t bytes_ = 0;
};

}  // namespace fulmen
