#include "accounts/committer.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "accounts/await.h"

namespace fulmen {
namespace {

constexpr auto kPatience = std::chrono::seconds(1);
constexpr auto kFirstPause = std::chrono::milliseconds(20);
constexpr auto kLongestPause = std::chrono::seconds(1);
// Who shares a commit waits for all jobs of it, while other servers wait for its locks.
constexpr size_t kMostTogether = 128;
constexpr int kMostTries = 3;

}  // namespace

Committer::Committer(std::unique_ptr<SqlConnection> connection, std::optional<Start> start)
    : connection_(std::move(connection)), start_(std::move(start)), thread_([this] { Work(); }) {}

Committer::~Committer() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  asked_.notify_one();
  thread_.join();
}

void Committer::Submit(Job job, Done done, const std::string& place) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back({std::move(job), std::move(done), place, SteadyClock::now() + kPatience});
  }
  asked_.notify_one();
}

Status Committer::Run(Job job, const std::string& place) {
  return Await<Status>([&](Done done) { Submit(std::move(job), std::move(done), place); });
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
  std::vector<Task> tasks;
  while (Take(tasks)) {
    if (Connected(tasks)) {
      if (!tasks.empty()) Commit(tasks);
    }
    if (!connected_) GiveUp(tasks);
    Copying* copy = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (copying_ != nullptr && !copying_->status) copy = copying_;
    }
    if (copy != nullptr) Copy(*copy);
  }
}

bool Committer::Take(std::vector<Task>& tasks) {
  std::unique_lock lock(mutex_);
  const auto any = [this] {
    return closing_ || !waiting_.empty() || (copying_ != nullptr && !copying_->status);
  };
  if (connected_) {
    asked_.wait(lock, any);
  } else if (SteadyClock::now() < next_try_) {
    asked_.wait_for(lock, kFirstPause, [this] { return closing_; });
  }
  while (!waiting_.empty() && tasks.size() < kMostTogether) {
    tasks.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  return !closing_ || !tasks.empty() || !in_doubt_.empty();
}

bool Committer::Connected(std::vector<Task>& tasks) {
  if (connected_ || SteadyClock::now() < next_try_) return connected_;
  GiveUp(tasks);
  const auto begin = SteadyClock::now();
  try {
    Connect(tasks);
    connected_ = true;
    pause_ = last_try_ = {};
    return true;
  } catch (const SqlFailure& failure) {
    why_away_ = failure.error;
    connection_->RollBack();
    pause_ = std::clamp<SteadyClock::duration>(2 * pause_, kFirstPause, kLongestPause);
  }
  last_try_ = SteadyClock::now() - begin;
  next_try_ = SteadyClock::now() + pause_;
  return false;
}

void Committer::Connect(std::vector<Task>& tasks) {
  const Status connected = connection_->Connect();
  if (!connected) throw SqlFailure(SqlFailure::Kind::kLost, connected.error());
  if (doubtful_) {
    const bool committed = connection_->WasCommitted();
    doubtful_ = false;
    if (committed) {
      Answer(in_doubt_);
    } else {
      tasks.insert(tasks.begin(), std::move_iterator(in_doubt_.begin()),
                   std::move_iterator(in_doubt_.end()));
      in_doubt_.clear();
    }
  }
  if (!start_) return;
  connection_->Begin();
  start_->job(*connection_);
  connection_->Commit();
  start_->done();
}

void Committer::GiveUp(std::vector<Task>& tasks) {
  bool all = false;
  {
    const std::lock_guard lock(mutex_);
    all = closing_;
  }
  // The next try to connect may take as long as the last one.
  const auto now = SteadyClock::now() + last_try_;
  for (std::vector<Task>* list : {&in_doubt_, &tasks}) {
    std::vector<Task> late;
    std::vector<Task> others;
    for (Task& task : *list) {
      (all || task.deadline <= now ? late : others).push_back(std::move(task));
    }
    *list = std::move(others);
    for (Task& task : late) {
      task.done(
          Fail(ErrorCode::kUnavailable, "the ledger's database is away: {}", why_away_.message));
    }
  }
}

void Committer::Commit(std::vector<Task>& tasks) {
  std::stable_sort(tasks.begin(), tasks.end(),
                   [](const Task& a, const Task& b) { return a.place < b.place; });
  for (int tries = 1;; ++tries) {
    bool committing = false;
    try {
      connection_->Begin();
      for (Task& task : tasks) task.status = RunOne(task.job);
      committing = true;
      connection_->Commit();
      return Answer(tasks);
    } catch (const SqlFailure& failure) {
      connection_->RollBack();
      if (failure.kind == SqlFailure::Kind::kAgain && tries < kMostTries) continue;
      if (failure.kind == SqlFailure::Kind::kLost) {
        connected_ = false;
        why_away_ = failure.error;
        doubtful_ = committing;
        if (committing) in_doubt_ = std::exchange(tasks, {});
        return;
      }
      for (Task& task : tasks) {
        if (task.status) task.status = tl::unexpected<Error>(failure.error);
      }
      return Answer(tasks);
    }
  }
}

void Committer::Answer(std::vector<Task>& tasks) {
  {
    const std::lock_guard lock(mutex_);
    ++commits_;
  }
  for (Task& task : std::exchange(tasks, {})) task.done(std::move(task.status));
}

Status Committer::RunOne(const Job& job) {
  Status status;
  try {
    status = job(*connection_);
  } catch (const SqlFailure& failure) {
    if (failure.kind != SqlFailure::Kind::kStatement) throw;
    status = tl::unexpected<Error>(failure.error);
  }
  if (status) {
    connection_->Keep();
  } else {
    connection_->Drop();
  }
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
