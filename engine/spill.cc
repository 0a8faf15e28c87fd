#include "engine/spill.h"

#include <chrono>
#include <utility>

namespace fulmen {

Spill::Spill(StateStore& store) : store_(store), thread_([this] { Work(); }) {}

Spill::~Spill() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  started_.notify_one();
  thread_.join();
}

Spill::Id Spill::StartWrite(const std::string& space, std::span<const PrefixKey> keys,
                            const StateBytes& state) {
  return Start({.id = next_id_++,
                .load = false,
                .space = space,
                .keys = {keys.begin(), keys.end()},
                .bytes = state,
                .shared_pages = 0});
}

Spill::Id Spill::StartLoad(const std::string& space, std::span<const PrefixKey> keys,
                           const StateBytes& into, int64_t shared_pages) {
  return Start({.id = next_id_++,
                .load = true,
                .space = space,
                .keys = {keys.begin(), keys.end()},
                .bytes = into,
                .shared_pages = shared_pages});
}

Spill::Id Spill::Start(Job job) {
  const Id id = job.id;
  ++jobs_;
  {
    const std::lock_guard lock(mutex_);
    (job.load ? loads_ : writes_).push_back(std::move(job));
  }
  started_.notify_one();
  return id;
}

std::vector<Spill::Done> Spill::Collect() {
  std::vector<Done> done;
  const std::lock_guard lock(mutex_);
  done.swap(done_);
  jobs_ -= std::ssize(done);
  return done;
}

bool Spill::Wait(double seconds) {
  if (jobs_ == 0) return false;
  std::unique_lock lock(mutex_);
  ended_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return !done_.empty(); });
  return true;
}

void Spill::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    started_.wait(lock, [this] { return stopping_ || !loads_.empty() || !writes_.empty(); });
    if (stopping_) return;
    std::deque<Job>& jobs = loads_.empty() ? writes_ : loads_;
    const Job job = std::move(jobs.front());
    jobs.pop_front();
    lock.unlock();
    Status status = job.load ? store_.Load(job.space, job.keys, job.bytes, job.shared_pages)
                             : store_.Write(job.space, job.keys, job.bytes);
    lock.lock();
    done_.push_back({job.id, job.load, std::move(status)});
    ended_.notify_one();
  }
}

}  // namespace fulmen
