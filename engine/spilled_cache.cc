#include "engine/spilled_cache.h"

#include <algorithm>
#include <utility>

namespace fulmen {
namespace {

// Snapshots that wait to be written; each is a copy of its keys.
constexpr size_t kMostWaiting = 64;

}  // namespace

Result<std::unique_ptr<SpilledCache>> SpilledCache::Open(const std::string& folder,
                                                         int64_t most_bytes,
                                                         const StateIdentity& identity,
                                                         StatePool& pool, PrefixCache& cache) {
  if (identity.model.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "{}: states need a name of their model to be stored",
                folder);
  }
  FULMEN_ASSIGN(std::unique_ptr<StateStore> store, StateStore::Open(folder, identity, most_bytes));
  return std::unique_ptr<SpilledCache>(new SpilledCache(std::move(store), pool, cache));
}

SpilledCache::~SpilledCache() {
  while (has_work()) {
    StartNextWrite();
    spill_.Wait(1);
    Collect();
  }
}

void SpilledCache::Offer(const std::string& space, std::span<const PrefixKey> keys) {
  if (waiting_.size() == kMostWaiting) waiting_.pop_front();
  waiting_.push_back({space, {keys.begin(), keys.end()}});
}

void SpilledCache::StartNextWrite() {
  while (!busy() && !waiting_.empty()) {
    Place place = std::move(waiting_.front());
    waiting_.pop_front();
    const SequenceState* state = cache_.Pin(place.space, place.keys);
    if (state == nullptr) continue;  // it had to make room before its turn came
    const Id id = spill_.StartWrite(place.space, place.keys, StateBytes(*state));
    writes_.emplace(id, std::move(place));
  }
}

std::optional<SpilledCache::Id> SpilledCache::StartLoad(const std::string& space,
                                                        std::span<const PrefixKey> keys,
                                                        int64_t most, const PrefixMatch& match) {
  const int64_t position = store_->Find(space, keys, most);
  if (position < match.position + kWorthLoading) return std::nullopt;
  keys = keys.first(static_cast<size_t>(position));
  for (const auto& [id, load] : loads_) {
    if (load.place.space == space && std::ranges::equal(load.place.keys, keys)) return id;
  }
  const int64_t shared = pool_.page_bytes() == 0 ? 0 : match.position / StatePool::kPageTokens;
  if (!cache_.MakeRoom(1, pool_.PagesOf(position) - shared, match.state)) return std::nullopt;
  Result<SequenceState> state = pool_.CreateAt(position, match.state);
  if (!state) return std::nullopt;
  const Id id = spill_.StartLoad(space, keys, StateBytes(*state), shared);
  loads_.emplace(id, Load{{space, {keys.begin(), keys.end()}}, *std::move(state)});
  return id;
}

void SpilledCache::Collect() {
  for (const Spill::Done& done : spill_.Collect()) {
    if (!done.load) {
      const auto write = writes_.extract(done.id);
      cache_.Unpin(write.mapped().space, write.mapped().keys);
      continue;
    }
    auto load = loads_.extract(done.id);
    if (!done.status) continue;  // a miss; the store counts it
    Place& place = load.mapped().place;
    cache_.Insert(place.space, place.keys, std::move(load.mapped().state), SnapshotKind::kEnd);
  }
}

}  // namespace fulmen
