// Word of changed keys from other servers of one PostgreSQL.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>

namespace fulmen {

// Calls `wake`, in its thread, when one comes, and every half second whatever comes: word that was
// sent while its connection was lost does not come again.
class PostgresListener {
 public:
  PostgresListener(const std::string& database, std::function<void()> wake);
  ~PostgresListener();
  PostgresListener(const PostgresListener&) = delete;
  PostgresListener& operator=(const PostgresListener&) = delete;

 private:
  void Work();

  const std::string database_;
  const std::function<void()> wake_;
  std::atomic<bool> closing_ = false;
  std::thread thread_;  // last, since it uses all of the above
};

}  // namespace fulmen
