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
    int64_t most_page_bytes = INT64_MAX;  // of pages in use
    int64_t most_slot_bytes = INT64_MAX;  // of slots in use
    DType kv_type = DType::kF32;          // of keys and values: F32, F16, BF16 or Q8_0
    bool poison = false;                  // fills what is given back with NaN (tests)
  };
  // CheckKvType must hold for the type and the heads of the config.
  explicit StatePool(const Config& config);
  StatePool(const Config& config, Options options);
  StatePool(const StatePool&) = delete;
  StatePool& operator=(const StatePool&) = delete;

  // A sequence of no tokens. Fails with kNoRoom when a slot would take more than most_slot_bytes.
  Result<SequenceState> Create();
  // One that is to be filled with what was read up to `position` elsewhere, say from a file: it
  // holds anything, but for the whole pages of `beginning`, which it shares. That is a state of the
  // same sequence at an earlier position, or null. Fails as Create and Reserve.
  Result<SequenceState> CreateAt(int64_t position, const SequenceState* beginning);

  const Options& options() const { return options_; }
  int64_t page_bytes() const { return pages_.bytes; }  // of one; 0 without softmax layers
  int64_t slot_bytes() const { return slots_.bytes; }
  int64_t used_page_bytes() const { return pages_.used_bytes; }
  int64_t used_slot_bytes() const { return slots_.used_bytes; }
  // Pages that hold `tokens`; 0 without softmax layers.
  int64_t PagesOf(int64_t tokens) const;

 private:
  friend class SequenceState;
  // One unit of memory, page or slot, by its number.
  struct Unit {
    std::vector<std::byte, UninitializedAllocator<std::byte>> data;
    int64_t sharers = 0;
    int64_t generation = 0;  // how often it was given out
  };
  // All units of one kind.
  struct Units {
    const char* name;  // for errors
    int64_t bytes = 0;
    int64_t most_bytes = 0;
    int64_t used_bytes = 0;
    std::vector<Unit> all = {};
    std::vector<int64_t> free = {};
  };
  // A unit while it is in use: stale after it was given back.
  struct Handle {
    int64_t unit = -1;
    int64_t generation = 0;
  };

  Result<Handle> Take(Units& units);
  void Share(Units& units, Handle handle) { ++At(units, handle).sharers; }
  void GiveBack(Units& units, Handle handle) const;
  // Stops at a stale handle.
  static Unit& At(Units& units, Handle handle);

  KvFormat format_;
  int64_t lightning_size_;             // floats of one layer in a slot
  std::vector<int64_t> layer_offset_;  // in bytes, within a page or a slot
  Options options_;
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
  // Pages Reserve would take.
  int64_t PagesFor(int64_t tokens) const;
  void Advance(int64_t tokens) { position_ += tokens; }
  // Gives back room that nothing was read into.
  void Trim();

  // The same sequence once more, to go on in another way, or to come back to: whole pages are
  // shared, the last one begun and the slot are copied. Fails as Create and Reserve.
  Result<SequenceState> Fork() const;
  // The fork there will be at `position`, which comes with the tokens that room was made for. Its
  // memory is taken now and filled by the pass that reads them (ForwardBatch::snapshots); until
  // then it holds anything.
  Result<SequenceState> ForkAt(int64_t position) const;
  // Copies into such a fork what lies in the page that it does not share.
  void CopyLastPage(const SequenceState& fork) const;

  // One of pages(): its number in the pool, and how many sequences hold it.
  struct PageUse {
    int64_t number;
    int64_t sharers;
  };
  PageUse page_use(size_t index) const;

  // For kernels. Pages in order; the cache of softmax layer `layer` once pages of a batch's
  // sequences are put in; the memory of lightning layer `layer`.
  std::span<std::byte* const> pages() const { return page_data_; }
  KvCache Cache(int64_t layer) const;
  std::span<float> lightning(int64_t layer) const;
  // All of the slot: the memory of the lightning layers, in which each has its place.
  std::span<std::byte> slot_data() const { return slot().data; }
  const StatePool* pool() const { return pool_; }

 private:
  friend class StatePool;
  SequenceState(StatePool& pool, StatePool::Handle slot) : pool_(&pool), slot_(slot) {}
  void SharePages(const SequenceState& other, int64_t count);  // the first ones
  void KeepPages(size_t count);                                // the first ones
  StatePool::Unit& slot() const { return StatePool::At(pool_->slots_, slot_); }
  void GiveBack();

  StatePool* pool_;  // null once moved from
  StatePool::Handle slot_;
  std::vector<StatePool::Handle> pages_;
  std::vector<std::byte*> page_data_;
  int64_t position_ = 0;
};

// `bytes` divided among pages and states, so that a sequence of the model's context, or as much of
// it as fits, has room beside as many states as there is room for.
StatePool::Options DivideMemory(const Config& config, DType kv_type, int64_t bytes);

// Bytes one sequence needs per token (keys and values) and in all (lightning memory).
int64_t KvBytesPerToken(const Config& config, DType kv_type);
int64_t LightningMemoryBytes(const Config& config);

}  // namespace fulmen
