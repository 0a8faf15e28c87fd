#include "accounts/committer.h"

#include <future>
#include <utility>

namespace fulmen {

Committer::Committer(std::unique_ptr<SqlConnection> connection)
    : connection_(std::move(connection)), thread_([this] { Work(); }) {}

Committer::~Committer() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  asked_.notify_one();
  thread_.join();
}

void Committer::Submit(Job job, Done done) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back({std::move(job), std::move(done)});
  }
  asked_.notify_one();
}

Status Committer::Run(Job job) {
  // Shared, since the thread may still be in it when the result is here.
  const auto promise = std::make_shared<std::promise<Status>>();
  Submit(std::move(job), [promise](Status status) { promise->set_value(std::move(status)); });
  return promise->get_future().get();
}

Status Committer::Backup(const std::string& path) {
  Copying copying{path};
  std::unique_lock lock(mutex_);
  if (copying_ != nullptr) {
    return Fail(ErrorCode::kConflict, "a backup to {} is under way", copying_->path);
  }
  copying_ = &copying;
  asked_.notify_one();
  copied_.wait(lock, [&copying] { return copying.status.has_value(); });
  copying_ = nullptr;
  return *copying.status;
}

int64_t Committer::commits() const {
  const std::lock_guard lock(mutex_);
  return commits_;
}

void Committer::Work() {
  const auto copying = [this] { return copying_ != nullptr && !copying_->status; };
  std::unique_lock lock(mutex_);
  while (true) {
    asked_.wait(lock, [&] { return closing_ || !waiting_.empty() || copying(); });
    std::vector<Task> tasks = std::exchange(waiting_, {});
    Copying* const copy = copying() ? copying_ : nullptr;
    if (tasks.empty() && copy == nullptr) return;
    lock.unlock();
    if (!tasks.empty()) Commit(tasks);
    for (Task& task : tasks) task.done(std::move(task.status));
    if (copy != nullptr) Copy(*copy);
    lock.lock();
  }
}

void Committer::Commit(std::vector<Task>& tasks) {
  try {
    connection_->Begin();
    for (Task& task : tasks) task.status = RunOne(task.job);
    connection_->Commit();
    const std::lock_guard lock(mutex_);
    ++commits_;
  } catch (const SqlFailure& failure) {
    for (Task& task : tasks) {
      if (task.status) task.status = tl::unexpected<Error>(failure.error);
    }
    connection_->RollBack();
  }
}

Status Committer::RunOne(const Job& job) {
  connection_->Execute("SAVEPOINT job");
  Status status;
  try {
    status = job(*connection_);
  } catch (const SqlFailure& failure) {
    if (failure.kind != SqlFailure::Kind::kStatement) throw;
    status = tl::unexpected<Error>(failure.error);
  }
  if (!status) connection_->Execute("ROLLBACK TO job");
  connection_->Execute("RELEASE job");
  return status;
}

void Committer::Copy(Copying& copying) {
  Result<bool> done = false;
  if (copying.backup == nullptr) {
    Result<std::unique_ptr<SqlBackup>> started = connection_->StartBackup(copying.path);
    if (started) {
      copying.backup = *std::move(started);
    } else {
      done = tl::unexpected<Error>(started.error());
    }
  } else {
    done = copying.backup->Step();
  }
  if (done && !*done) return;
  copying.backup.reset();
  const std::lock_guard lock(mutex_);
  copying.status = done ? Status() : tl::unexpected<Error>(done.error());
  copied_.notify_all();
}

}  // namespace fulmen
