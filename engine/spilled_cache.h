// The second level of the prefix cache: snapshots are written to a store while the engine does
// other things, and come back when a request begins with what memory does not hold any more.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/prefix_cache.h"
#include "engine/spill.h"
#include "engine/state_store.h"

namespace fulmen {

// Of the engine's thread, like the pool and the cache, which must outlive it. What is being written
// is pinned in the cache, what is being loaded takes memory of the pool: with Collect() both come
// to an end by themselves.
class SpilledCache {
 public:
  using Id = Spill::Id;

  // Fails as StateStore::Open, and without a name of the model: another's states would pass for
  // its own.
  static Result<std::unique_ptr<SpilledCache>> Open(const std::string& folder, int64_t most_bytes,
                                                    const StateIdentity& identity, StatePool& pool,
                                                    PrefixCache& cache);
  // Writes what is left to be written first, unless the cache has lost it.
  ~SpilledCache();
  SpilledCache(const SpilledCache&) = delete;
  SpilledCache& operator=(const SpilledCache&) = delete;

  // Remembers that the snapshot of exactly `keys`, just inserted, is worth writing. Of too many the
  // oldest are forgotten.
  void Offer(const std::string& space, std::span<const PrefixKey> keys);
  // Hands the next one to the thread, where it has nothing to do.
  void StartNextWrite();

  // Starts to load what is stored of `keys` up to `most`, if that saves at least kWorthLoading
  // tokens beyond `match` and there is room, or joins who loads it already.
  std::optional<Id> StartLoad(const std::string& space, std::span<const PrefixKey> keys,
                              int64_t most, const PrefixMatch& match);
  bool IsLoading(Id id) const { return loads_.contains(id); }

  // Puts what was loaded into the cache, and lets go of what was written.
  void Collect();
  // Waits for what is under way, `seconds` at most.
  void Wait(double seconds) { spill_.Wait(seconds); }
  bool busy() const { return spill_.jobs() > 0; }
  bool has_work() const { return busy() || !waiting_.empty(); }

  StateStoreStats stats() const { return store_->stats(); }

  static constexpr int64_t kWorthLoading = 64;

 private:
  struct Place {
    std::string space;
    std::vector<PrefixKey> keys;
  };
  struct Load {
    Place place;
    SequenceState state;
  };
  SpilledCache(std::unique_ptr<StateStore> store, StatePool& pool, PrefixCache& cache)
      : pool_(pool), cache_(cache), store_(std::move(store)), spill_(*store_) {}

  StatePool& pool_;
  PrefixCache& cache_;
  std::deque<Place> waiting_;   // to be written
  std::map<Id, Place> writes_;  // pinned
  std::map<Id, Load> loads_;
  std::unique_ptr<StateStore> store_;
  Spill spill_;  // last: its thread uses the memory of all of the above
};

}  // namespace fulmen
