// What a model remembers of sequences: keys and values by pages in softmax layers, a memory of
// fixed size in lightning layers. The bytes of all sequences come from one pool.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/dtype.h"
#include "base/memory.h"
#include "base/status.h"
#include "kernels/lightning_attention.h"
#include "kernels/softmax_attention.h"
#include "model/config.h"

namespace fulmen {

class SequenceState;

// Pages and slots, given out and taken back. A page holds the keys and values of kPageTokens
// tokens in all softmax layers; sequences that begin alike share pages, and each page counts its
// sharers. A slot holds what the lightning layers remember of one sequence. What was given back is
// kept for whoever comes next. It is memory of the host, which Fork() and poisoning touch: a device
// with memory of its own needs another. Must outlive its sequences. Not thread safe.
class StatePool {
 public:
  static constexpr int64_t kPageTokens = 256;

  struct Options {
    int64_t most_bytes = INT64_MAX;  // of pages and slots in use
    DType kv_type = DType::kF32;     // of keys and values: F32, F16, BF16 or Q8_0
    bool poison = false;             // fills what is given back with NaN (tests)
  };
  // CheckKvType must hold for the type and the heads of the config.
  explicit StatePool(const Config& config);
  StatePool(const Config& config, Options options);
  StatePool(const StatePool&) = delete;
  StatePool& operator=(const StatePool&) = delete;

  // A sequence of no tokens. Fails with kNoRoom when a slot would take more than most_bytes.
  Result<SequenceState> Create();

  int64_t page_bytes() const { return pages_.bytes; }
  int64_t slot_bytes() const { return slots_.bytes; }
  int64_t used_bytes() const { return used_bytes_; }

 private:
  friend class SequenceState;
  // One unit of memory, page or slot, by its number.
  struct Unit {
    std::vector<std::byte, AlignedAllocator<std::byte>> data;
    int64_t sharers = 0;
    int64_t generation = 0;  // how often it was given out
  };
  // All units of one size.
  struct Units {
    int64_t bytes = 0;
    std::vector<Unit> all;
    std::vector<int64_t> free;
  };
  // A unit while it is in use: stale after it was given back.
  struct Handle {
    int64_t unit = -1;
    int64_t generation = 0;
  };

  Result<Handle> Take(Units& units);
  void Share(Units& units, Handle handle) { ++At(units, handle).sharers; }
  void GiveBack(Units& units, Handle handle);
  // Stops at a stale handle.
  static Unit& At(Units& units, Handle handle);

  KvFormat format_;
  std::vector<int64_t> layer_offset_;  // in bytes, within a page or a slot
  Options options_;
  int64_t used_bytes_ = 0;
  Units pages_;
  Units slots_;
};

// One sequence's memory: a view of pages and a slot of its pool, and how many tokens they hold.
// Movable; Fork() where a copy is meant. Not thread safe.
class SequenceState {
 public:
  SequenceState(SequenceState&& other) noexcept;
  SequenceState& operator=(SequenceState&& other) noexcept;
  ~SequenceState();

  // Tokens read so far: the position of the next one.
  int64_t position() const { return position_; }
  // Makes room for `tokens` more, which must come before they are read. Fails when the pool has too
  // little left; then nothing has changed.
  Status Reserve(int64_t tokens);
  // Bytes Reserve would take.
  int64_t BytesFor(int64_t tokens) const;
  void Advance(int64_t tokens) { position_ += tokens; }

  // The same sequence once more, to go on in another way, or to come back to: whole pages are
  // shared, the last one begun and the slot are copied. Fails as Reserve.
  Result<SequenceState> Fork() const;

  // For kernels. Pages in order; the cache of softmax layer `layer` once pages of a batch's
  // sequences are put in; the memory of lightning layer `layer`.
  std::span<std::byte* const> pages() const { return page_data_; }
  KvCache Cache(int64_t layer) const;
  float* lightning(int64_t layer) const;
  const StatePool* pool() const { return pool_; }

 private:
  friend class StatePool;
  SequenceState(StatePool& pool, StatePool::Handle slot) : pool_(&pool), slot_(slot) {}
  int64_t PagesFor(int64_t tokens) const;
  void GiveBack();

  StatePool* pool_;  // null once moved from
  StatePool::Handle slot_;
  std::vector<StatePool::Handle> pages_;
  std::vector<std::byte*> page_data_;
  int64_t position_ = 0;
};

// Bytes one sequence needs per token (keys and values) and in all (lightning memory).
int64_t KvBytesPerToken(const Config& config, DType kv_type);
int64_t LightningMemoryBytes(const Config& config);

}  // namespace fulmen
