#include "accounts/committer.h"

#include <sqlite3.h>

#include <utility>

#include "base/check.h"

namespace fulmen {

Result<std::unique_ptr<Committer>> Committer::Open(const std::string& path,
                                                   const DatabaseKind& kind) {
  FULMEN_CHECK(kind.exclusive, "a {} has one connection", kind.name);
  FULMEN_ASSIGN(std::unique_ptr<SQLite::Database> database, OpenDatabase(path, kind));
  try {
    database->exec("PRAGMA foreign_keys = ON");
  } catch (const SQLite::Exception& thrown) {
    return tl::unexpected<Error>(DatabaseError(path, kind, thrown));
  }
  return std::unique_ptr<Committer>(new Committer(path, kind, std::move(database)));
}

Committer::Committer(std::string path, const DatabaseKind& kind,
                     std::unique_ptr<SQLite::Database> database)
    : path_(std::move(path)),
      kind_(kind),
      database_(std::move(database)),
      thread_([this] { Work(); }) {}

Committer::~Committer() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  asked_.notify_one();
  thread_.join();
}

Status Committer::Run(const Job& job) {
  Task task{job};
  std::unique_lock lock(mutex_);
  waiting_.push_back(&task);
  asked_.notify_one();
  answered_.wait(lock, [&task] { return task.done; });
  return task.status;
}

int64_t Committer::commits() const {
  const std::lock_guard lock(mutex_);
  return commits_;
}

void Committer::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    asked_.wait(lock, [this] { return closing_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    const std::vector<Task*> tasks = std::exchange(waiting_, {});
    lock.unlock();
    Commit(tasks);
    lock.lock();
    ++commits_;
    for (Task* task : tasks) task->done = true;
    answered_.notify_all();
  }
}

void Committer::Commit(const std::vector<Task*>& tasks) {
  try {
    database_->exec("BEGIN IMMEDIATE");
    for (Task* task : tasks) task->status = RunOne(task->job);
    database_->exec("COMMIT");
  } catch (const SQLite::Exception& thrown) {
    const Error error = DatabaseError(path_, kind_, thrown);
    for (Task* task : tasks) {
      if (task->status) task->status = tl::unexpected<Error>(error);
    }
    // After some errors, a full disk among them, SQLite has already done it.
    if (sqlite3_get_autocommit(database_->getHandle()) == 0) {
      sqlite3_exec(database_->getHandle(), "ROLLBACK", nullptr, nullptr, nullptr);
    }
  }
}

Status Committer::RunOne(const Job& job) {
  database_->exec("SAVEPOINT job");
  Status status;
  try {
    status = job(*database_);
  } catch (const SQLite::Exception& thrown) {
    status = tl::unexpected<Error>(DatabaseError(path_, kind_, thrown));
  }
  if (!status) database_->exec("ROLLBACK TO job");
  database_->exec("RELEASE job");
  return status;
}

}  // namespace fulmen
