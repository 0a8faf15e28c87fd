// States of sequences in files, so that what was read outlives the program and the memory of the
// prefix cache.
//
// A state is one file, with the namespace, the keys, the slot and the last page begun; every whole
// page is another, which all states that passed through it share. Files are named by a hash of
// what was read (PrefixHash), and a folder holds those of one identity: model, instruction set, KV
// type, sizes. Whoever asks with another identity asks another store, so a mismatch is a miss.
//
// Nothing in a file is trusted: Load checks every checksum, and compares the identity, the
// namespace and the keys, the pages' own among them, with what is asked. A file that fails is
// removed and costs a miss. So nothing is flushed to the disk: what a crash of the machine spoils
// is noticed. A file appears whole or not at all, and pages before the state that needs them, so
// that the program may be killed at any moment; what it leaves is removed by the next Open.
//
// Owned by one thread, which Open, Write and Load are called from, one at a time; Find and stats
// may be called from any thread besides, and wait for no disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/dtype.h"
#include "base/status.h"
#include "engine/prefix_tree.h"
#include "engine/state_file.h"
#include "model/state.h"

namespace fulmen {

// All that the bits of a state depend on besides its keys.
struct StateIdentity {
  std::string model;    // tells its weights from all others, e.g. a hash of them
  std::string kernels;  // Kernels::name
  DType kv_type = DType::kF32;
  int64_t page_bytes = 0;
  int64_t slot_bytes = 0;

  std::string Text() const;
};

// A state's memory, which its owner keeps as it is for as long as this is used: the state itself
// is of one thread, its bytes are not.
struct StateBytes {
  int64_t position = 0;
  std::span<std::byte> slot = {};
  std::vector<std::byte*> pages = {};

  StateBytes() = default;
  explicit StateBytes(const SequenceState& state);
};

struct StateStoreStats {
  int64_t states = 0;
  int64_t pages = 0;
  int64_t bytes = 0;    // of files
  int64_t written = 0;  // states since Open, as all that follow
  int64_t loaded = 0;
  int64_t evicted = 0;     // to make room
  int64_t refused = 0;     // writes that the disk or the budget had no room for, or that failed
  int64_t damaged = 0;     // files removed because they are not what was written
  int64_t foreign = 0;     // files removed because they are of another identity or prefix
  int64_t unreadable = 0;  // files given up because they are gone, or the system refused
};

class StateStore {
 public:
  // Makes the folder, readable by its owner alone, or finds what was stored in it. `most_bytes` is
  // for the files of this identity; those of others are left alone and not counted. kConflict when
  // another store has it open, in this process or another: there is one writer, and no reader
  // beside it.
  static Result<std::unique_ptr<StateStore>> Open(const std::string& folder,
                                                  const StateIdentity& identity,
                                                  int64_t most_bytes);
  ~StateStore();
  StateStore(const StateStore&) = delete;
  StateStore& operator=(const StateStore&) = delete;

  // The deepest position of `keys`, `most` or less, that a state is stored of; 0 if there is none.
  // Of what is there, not of what can be read: only Load finds that out.
  int64_t Find(const std::string& space, std::span<const PrefixKey> keys, int64_t most) const;

  // Stores the state of exactly `keys`, unless it is there. The states used longest ago make room.
  // kNoRoom when all of them would not do; kIo when the disk is full or refuses. Then nothing of
  // this state is left.
  Status Write(const std::string& space, std::span<const PrefixKey> keys, const StateBytes& state);

  // Fills `into`, a state at the end of `keys`, all but its first `shared_pages`, which hold what
  // they should. An error is a miss, after which `into` holds anything: kNotFound when no such
  // state is stored, or what is wrong with its files, which are gone then.
  Status Load(const std::string& space, std::span<const PrefixKey> keys, const StateBytes& into,
              int64_t shared_pages);

  StateStoreStats stats() const;
  const std::string& folder() const { return folder_; }  // of this identity

 private:
  struct State {
    PrefixHash hash;
    int64_t position;
    int64_t bytes;
    std::vector<PrefixHash> pages;
  };
  struct Page {
    int64_t bytes = 0;
    int64_t states = 0;  // that need it
  };
  struct Chain;
  struct Found;
  using States = std::list<State>;

  StateStore(std::string folder, StateIdentity identity, int64_t most_bytes, int lock)
      : folder_(std::move(folder)),
        identity_(std::move(identity)),
        text_(identity_.Text()),
        most_bytes_(most_bytes),
        lock_(lock) {}
  Status ReadFolder();
  void ReadEntry(const std::filesystem::directory_entry& entry, std::vector<Found>& found);
  void Adopt(Found found);
  Chain ChainOf(const std::string& space, std::span<const PrefixKey> keys) const;
  StateFileHeader HeaderOf(const Chain& chain, size_t page, const std::string& space) const;
  std::string PathOf(const PrefixHash& hash, const char* ending) const;
  bool MakeRoom(int64_t bytes);
  Status WritePages(const Chain& chain, const std::string& space, std::span<const PrefixKey> keys,
                    const StateBytes& state);
  Result<StateFileReader> OpenToLoad(const std::string& path, const StateFileHeader& expected,
                                     const std::string& space, std::span<const PrefixKey> keys);
  Status LoadState(const Chain& chain, const std::string& space, std::span<const PrefixKey> keys,
                   const StateBytes& into);
  Status LoadPage(const Chain& chain, size_t page, const std::string& space,
                  std::span<const PrefixKey> keys, std::byte* into);
  // With mutex_ locked.
  void Insert(State state);
  void Use(States::iterator state);
  void Release(std::span<const PrefixHash> pages);
  void Remove(States::iterator state);
  void RemoveAllThatNeed(const PrefixHash& page);
  void Count(ErrorCode code);

  const std::string folder_;
  const StateIdentity identity_;
  const std::string text_;
  const int64_t most_bytes_;
  const int lock_;  // a file of the folder, locked while it is open

  mutable std::mutex mutex_;  // of what follows, which only the owning thread changes
  States states_;             // that used longest ago first
  std::unordered_map<PrefixHash, States::iterator, PrefixHashBits> by_hash_;
  std::unordered_map<PrefixHash, Page, PrefixHashBits> pages_;
  std::map<int64_t, int64_t> positions_;  // how many states are at each
  StateStoreStats stats_;
};

}  // namespace fulmen
