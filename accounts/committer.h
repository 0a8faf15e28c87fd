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

#include "accounts/sql.h"

namespace fulmen {

// Thread safe.
class Committer {
 public:
  using Job = std::function<Status(Sql& sql)>;
  using Done = std::function<void(Status status)>;

  explicit Committer(std::unique_ptr<SqlConnection> connection);
  ~Committer();  // what was asked before is done first
  Committer(const Committer&) = delete;
  Committer& operator=(const Committer&) = delete;

  // Runs `job` in the thread, and calls `done` there when what it wrote is on the disk. Where it
  // fails, or the commit does, nothing of it is left and the error is told. What a job reads is
  // what all jobs before it wrote. A job may run more than once before it counts. `done` is quick,
  // and does not wait for this committer.
  void Submit(Job job, Done done);

  // The same, and waits for it.
  Status Run(Job job);

  // The same for a job with a result.
  template <class T, class Body>
  Result<T> Get(const Body& body) {
    std::optional<T> value;
    const Status status = Run([&](Sql& sql) -> Status {
      Result<T> result = body(sql);
      if (!result) return tl::unexpected<Error>(std::move(result).error());
      value = *std::move(result);
      return {};
    });
    if (!status) return tl::unexpected<Error>(status.error());
    return *std::move(value);
  }

  // Copies the database to `path`, where no file may be yet, a piece after each commit. One at a
  // time.
  Status Backup(const std::string& path);

  int64_t commits() const;

 private:
  struct Task {
    Job job;
    Done done;
    Status status = {};
  };
  struct Copying {
    const std::string& path;
    std::unique_ptr<SqlBackup> backup = nullptr;
    std::optional<Status> status = std::nullopt;
  };

  void Work();
  void Commit(std::vector<Task>& tasks);
  Status RunOne(const Job& job);
  void Copy(Copying& copying);

  const std::unique_ptr<SqlConnection> connection_;  // the thread's alone

  mutable std::mutex mutex_;
  std::condition_variable asked_;
  std::condition_variable copied_;
  std::vector<Task> waiting_;
  Copying* copying_ = nullptr;
  bool closing_ = false;
  int64_t commits_ = 0;
  std::thread thread_;  // last, since it uses all of the above
};

}  // namespace fulmen
