// One connection to a database in one thread. What is asked of it together shares a commit, since
// a commit takes milliseconds and a disk does a few hundred of them a second.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
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

  // What is to be done each time after it has connected, before anything else.
  struct Start {
    std::function<void(Sql& sql)> job;  // in a transaction of its own; it may run more than once
    std::function<void()> done;
  };

  explicit Committer(std::unique_ptr<SqlConnection> connection,
                     std::optional<Start> start = std::nullopt);
  ~Committer();  // what was asked before is done first
  Committer(const Committer&) = delete;
  Committer& operator=(const Committer&) = delete;

  // Runs `job` in the thread, and calls `done` there when what it wrote is on the disk. Where it
  // fails, or the commit does, nothing of it is left and the error is told. What a job reads is
  // what all jobs wrote that were done before it was submitted. A job may run more than once before
  // it counts. `done` is quick, and does not wait for this committer. While the database is away a
  // job waits for about a second; then the error is kUnavailable, and it may have been done or not.
  // Jobs that share a commit are run in the order of `place`, the organisation whose row they lock,
  // so that two servers do not wait for each other.
  void Submit(Job job, Done done, const std::string& place = "");

  // The same, and waits for it.
  Status Run(Job job, const std::string& place = "");

  // The same for a job with a result.
  template <class T, class Body>
  Result<T> Get(const Body& body, const std::string& place = "") {
    std::optional<T> value;
    const Status status = Run(
        [&](Sql& sql) -> Status {
          Result<T> result = body(sql);
          if (!result) return tl::unexpected<Error>(std::move(result).error());
          value = *std::move(result);
          return {};
        },
        place);
    if (!status) return tl::unexpected<Error>(status.error());
    return *std::move(value);
  }

  // Copies the database to `path`, where no file may be yet, a piece after each commit. One at a
  // time.
  Status Backup(const std::string& path);

  // Ends a wait for a database that does not answer.
  void Interrupt() { connection_->Interrupt(); }

  int64_t commits() const;

 private:
  using SteadyClock = std::chrono::steady_clock;
  struct Task {
    Job job;
    Done done;
    std::string place;
    SteadyClock::time_point deadline;
    Status status = {};
  };
  struct Copying {
    const std::string& path;
    std::unique_ptr<SqlBackup> backup = nullptr;
    std::optional<Status> status = std::nullopt;
  };

  void Work();
  // Adds what was asked to `tasks`, and waits for some. False at the end.
  bool Take(std::vector<Task>& tasks);
  // Whether it is connected, after a try where it is time for one. What was in doubt is settled.
  bool Connected(std::vector<Task>& tasks);
  void Connect(std::vector<Task>& tasks);
  // Tells those that can wait no longer.
  void GiveUp(std::vector<Task>& tasks);
  // Leaves in `tasks` those that are to be done once it is connected again.
  void Commit(std::vector<Task>& tasks);
  void Answer(std::vector<Task>& tasks);
  Status RunOne(const Job& job);
  void Copy(Copying& copying);

  const std::unique_ptr<SqlConnection> connection_;  // the thread's alone, as all up to the mutex
  const std::optional<Start> start_;
  bool connected_ = false;
  bool doubtful_ = false;       // a commit was under way when the connection was lost
  std::vector<Task> in_doubt_;  // those of it that wait still
  Error why_away_ = {};
  SteadyClock::time_point next_try_ = {};
  SteadyClock::duration pause_ = {};     // between tries
  SteadyClock::duration last_try_ = {};  // what it took

  mutable std::mutex mutex_;
  std::condition_variable asked_;
  std::condition_variable copied_;
  std::deque<Task> waiting_;
  Copying* copying_ = nullptr;
  bool closing_ = false;
  int64_t commits_ = 0;
  std::thread thread_;  // last, since it uses all of the above
};

}  // namespace fulmen
