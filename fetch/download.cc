#include "fetch/download.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "fetch/piece.h"

namespace fulmen {
namespace {

class Download {
 public:
  Download(const DownloadJob& job, const std::vector<RemoteFile>& files);
  Status Run();

 private:
  struct Task {
    Transit* transit;
    std::optional<ByteRange> piece;  // nullopt: finish the file
    int generation;
  };

  void Work();
  // Waits for something to do; nullopt where nothing more will be.
  Result<std::optional<Task>> Take();
  Result<std::optional<Task>> TakeOf(Transit& transit);
  Status Do(const Task& task, HostConnection& connection);
  Status Finish(Transit& transit);
  // Writes down the first error, which stops all threads.
  void Stop(const Error& error);
  bool stopped() const { return failed_ || job_.options.stopped(); }

  const DownloadJob& job_;
  TransferOptions options_;  // the job's, but stopped by an error, too
  std::deque<Transit> transits_;
  std::mutex mutex_;  // taken before that of a Transit
  std::condition_variable changed_;
  const std::function<void()> wake_ = [this] { changed_.notify_all(); };
  Status status_;  // guarded by mutex_
  std::mutex finished_mutex_;
  std::atomic<bool> failed_{false};
};

Download::Download(const DownloadJob& job, const std::vector<RemoteFile>& files)
    : job_(job), options_(job.options) {
  options_.stopped = [this] { return stopped(); };
  for (const RemoteFile& file : files) transits_.emplace_back(file);
}

Status Download::Run() {
  std::vector<std::jthread> threads;
  try {
    for (int i = 1; i < job_.parallel; ++i) threads.emplace_back([this] { Work(); });
  } catch (const std::system_error&) {  // fewer will do
  }
  Work();
  threads.clear();
  return status_;
}

void Download::Work() {
  HostConnection connection(options_);
  while (true) {
    const auto task = Take();
    if (!task) Stop(task.error());
    if (!task || !*task) return;
    const Status status = Do(**task, connection);
    // Before the file looks as if nobody were at work on it: another thread would then finish it.
    if (!status) Stop(status.error());
    {
      const std::lock_guard<std::mutex> lock((*task)->transit->mutex);
      --(*task)->transit->active;
    }
    wake_();
  }
}

void Download::Stop(const Error& error) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!failed_.exchange(true)) status_ = tl::unexpected(error);
  }
  wake_();
}

Result<std::optional<Download::Task>> Download::Take() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    if (stopped()) return Fail(ErrorCode::kCancelled, "stopped");
    bool all_done = true;
    for (Transit& transit : transits_) {
      const std::lock_guard<std::mutex> file_lock(transit.mutex);
      if (transit.done) continue;
      all_done = false;
      FULMEN_ASSIGN(const std::optional<Task> task, TakeOf(transit));
      if (task) return task;
    }
    if (all_done) return std::nullopt;
    // Nobody wakes this when the job is stopped.
    changed_.wait_for(lock, std::chrono::milliseconds(100));
  }
}

Result<std::optional<Download::Task>> Download::TakeOf(Transit& transit) {
  if (!transit.partial) {
    FULMEN_ASSIGN(transit.partial, PartialDownload::Open(job_.folder, transit.file));
    const ByteRanges& have = transit.partial->have();
    const auto missing = have.Missing(transit.file.size, options_.piece_bytes);
    transit.missing.assign(missing.begin(), missing.end());
    transit.counted = have.total();
    transit.resumed = transit.counted > 0;
  }
  Task task = {&transit, std::nullopt, transit.generation};
  if (transit.missing.empty()) {
    if (transit.active > 0) return std::nullopt;
  } else {
    if (transit.active > 0 && !transit.in_ranges) return std::nullopt;
    task.piece = transit.missing.front();
    transit.missing.pop_front();
  }
  ++transit.active;
  return task;
}

Status Download::Do(const Task& task, HostConnection& connection) {
  if (!task.piece) return Finish(*task.transit);
  Piece piece(job_, *task.transit, *task.piece, task.generation, wake_);
  return piece.Fetch(connection, options_);
}

// Nobody else is at work on the file.
Status Download::Finish(Transit& transit) {
  const RemoteFile& file = transit.file;
  FULMEN_ASSIGN(const Checksum found, transit.partial->Sum(options_.stopped));
  if (found != file.checksum) {
    const std::lock_guard<std::mutex> lock(transit.mutex);
    // A crash of the machine may have spoilt what an earlier process left.
    if (transit.resumed) {
      transit.resumed = false;
      FULMEN_TRY(transit.Restart(job_));
      const auto all = transit.partial->have().Missing(file.size, options_.piece_bytes);
      transit.missing.assign(all.begin(), all.end());
      return {};
    }
    transit.partial->Remove();
    return Fail(ErrorCode::kCorrupt, "{}: the checksum should be {}, found {}", file.path,
                file.checksum.Text(), found.Text());
  }
  FULMEN_TRY(transit.partial->Finish());
  {
    const std::lock_guard<std::mutex> lock(finished_mutex_);
    FULMEN_TRY(job_.finished(file));
  }
  const std::lock_guard<std::mutex> lock(transit.mutex);
  transit.partial.reset();
  transit.done = true;
  return {};
}

}  // namespace

Status DownloadFiles(const DownloadJob& job, const std::vector<RemoteFile>& files) {
  return Download(job, files).Run();
}

}  // namespace fulmen
