// An index of values that are kept once each, in an array of the user's own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fulmen {

class InternTable {
 public:
  InternTable() : buckets_(64) {}

  // The index for which `equals(index)` holds among those put in with `hash`; if there is none,
  // `index` is put in and returned.
  template <class Equals>
  uint32_t FindOrAdd(uint64_t hash, uint32_t index, const Equals& equals) {
    if (2 * (size_ + 1) > buckets_.size()) Grow();
    size_t at = hash & (buckets_.size() - 1);
    for (; buckets_[at].index != kFree; at = (at + 1) & (buckets_.size() - 1)) {
      if (buckets_[at].hash == hash && equals(buckets_[at].index)) return buckets_[at].index;
    }
    buckets_[at] = {hash, index};
    ++size_;
    return index;
  }

  size_t MemoryBytes() const { return buckets_.capacity() * sizeof(Bucket); }

  // Mixes `word` into a hash.
  static uint64_t Mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0xBF58476D1CE4E5B9;
    return hash ^ (hash >> 29);
  }

 private:
  static constexpr uint32_t kFree = UINT32_MAX;
  struct Bucket {
    uint64_t hash = 0;
    uint32_t index = kFree;
  };

  void Grow() {
    std::vector<Bucket> old(buckets_.size() * 2);
    old.swap(buckets_);
    for (const Bucket& bucket : old) {
      if (bucket.index == kFree) continue;
      size_t at = bucket.hash & (buckets_.size() - 1);
      while (buckets_[at].index != kFree) at = (at + 1) & (buckets_.size() - 1);
      buckets_[at] = bucket;
    }
  }

  std::vector<Bucket> buckets_;
  size_t size_ = 0;
};

}  // namespace fulmen
