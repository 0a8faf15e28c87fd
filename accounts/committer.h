// One connection to a database in one thread. What is asked of it together shares a commit, since
// a commit takes milliseconds and a disk does a few hundred of them a second.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/database.h"

namespace fulmen {

// Thread safe.
class Committer {
 public:
  using Job = std::function<Status(SQLite::Database& database)>;

  // `kind` is exclusive: while it is open no other process has the file.
  static Result<std::unique_ptr<Committer>> Open(const std::string& path, const DatabaseKind& kind);
  ~Committer();  // nobody may be waiting in Run
  Committer(const Committer&) = delete;
  Committer& operator=(const Committer&) = delete;

  // Runs `job` in the thread, and returns when what it wrote is on the disk. Where it fails, or the
  // commit does, nothing of it is left and the error is returned. What a job reads is what all jobs
  // before it wrote.
  Status Run(const Job& job);

  // The same for a job with a result.
  template <class T, class Body>
  Result<T> Get(const Body& body) {
    std::optional<T> value;
    const Status status = Run([&](SQLite::Database& database) -> Status {
      Result<T> result = body(database);
      if (!result) return tl::unexpected<Error>(std::move(result).error());
      value = *std::move(result);
      return {};
    });
    if (!status) return tl::unexpected<Error>(status.error());
    return *std::move(value);
  }

  int64_t commits() const;

 private:
  struct Task {
    const Job& job;
    Status status = {};
    bool done = false;
  };
  Committer(std::string path, const DatabaseKind& kind, std::unique_ptr<SQLite::Database> database);
  void Work();
  void Commit(const std::vector<Task*>& tasks);
  Status RunOne(const Job& job);

  const std::string path_;
  const DatabaseKind kind_;
  const std::unique_ptr<SQLite::Database> database_;  // the thread's alone

  mutable std::mutex mutex_;
  std::condition_variable asked_;
  std::condition_variable answered_;
  std::vector<Task*> waiting_;
  bool closing_ = false;
  int64_t commits_ = 0;
  std::thread thread_;  // last, since it uses all of the above
};

}  // namespace fulmen
