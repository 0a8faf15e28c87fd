// A thread that writes states to a StateStore and reads them back, so that the engine's thread
// never waits for the disk.
//
// The states stay the engine's: while a job is under way its bytes must stay where they are, those
// of a write as they are, those of a load for nobody else to touch. Nothing here takes or gives
// back memory of a StatePool.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "engine/state_store.h"

namespace fulmen {

// All functions are for one thread, the engine's.
class Spill {
 public:
  using Id = int64_t;
  struct Done {
    Id id;
    bool load;  // else a write
    Status status;
  };

  // Owns `store` alone until it is destroyed, but for Find and stats.
  explicit Spill(StateStore& store);
  // Ends once the job under way has; those behind it are dropped.
  ~Spill();
  Spill(const Spill&) = delete;
  Spill& operator=(const Spill&) = delete;

  const StateStore& store() const { return store_; }

  // Starts to write the state of exactly `keys`. Jobs run one after another, loads first.
  Id StartWrite(const std::string& space, std::span<const PrefixKey> keys, const StateBytes& state);
  // Starts to fill `into`, all but its first pages (StateStore::Load).
  Id StartLoad(const std::string& space, std::span<const PrefixKey> keys, const StateBytes& into,
               int64_t shared_pages);

  // Jobs that ended since the last call: their bytes are the caller's again.
  std::vector<Done> Collect();
  // Waits until a job has ended that Collect() has not told yet, or `seconds` are over. False when
  // there is none and none comes.
  bool Wait(double seconds);

  // Jobs started and not yet told.
  int64_t jobs() const { return jobs_; }

 private:
  struct Job {
    Id id;
    bool load;
    std::string space;
    std::vector<PrefixKey> keys;
    StateBytes bytes;
    int64_t shared_pages;
  };
  Id Start(Job job);
  void Work();

  StateStore& store_;
  Id next_id_ = 1;
  int64_t jobs_ = 0;

  std::mutex mutex_;
  std::condition_variable started_;
  std::condition_variable ended_;
  std::deque<Job> loads_;
  std::deque<Job> writes_;
  std::vector<Done> done_;
  bool stopping_ = false;
  std::thread thread_;  // last, for it uses all of the above
};

}  // namespace fulmen
