// What sequences have read, kept for those that begin alike: states of sequences ("snapshots") at
// positions of a radix tree over what was read.
//
// A prefix can be reused only where both its pages of keys and values and its lightning state
// exist, so a snapshot is a whole SequenceState: its slot is its own, its pages it shares with all
// snapshots and sequences that grew from it. Between snapshots the tree remembers what was read
// without any state, to tell where two requests part and why a lookup found nothing.
#pragma once

#include <cstdint>
#include <iterator>
#include <span>
#include <string>
#include <string_view>

#include "engine/prefix_tree.h"
#include "model/state.h"

namespace fulmen {

// Why a snapshot was taken; it counts in how long it is kept. Later ones count no less.
enum class SnapshotKind : uint8_t {
  kStride,  // somewhere on the way through a long prompt
  kBorder,  // between two messages; the first on the way to a prompt's end counts as a branch
  kEnd,     // where an answer begins, or ended
  kBranch,  // where two requests parted
};

// Why not all that two requests share was reused.
enum class MissCause : uint8_t {
  kNone,     // nothing, or nothing but the token that must be read for its logits, was missed
  kNew,      // nobody has read such a prefix in this namespace
  kBetween,  // no snapshot was taken so close to where the requests part
  kEvicted,  // one was, and had to make room
};
std::string_view MissCauseName(MissCause cause);  // "none", "new", …

struct PrefixMatch {
  const SequenceState* state = nullptr;  // the deepest snapshot; until it is evicted or taken
  int64_t position = 0;                  // of it, or 0
  bool pinned = false;                   // that snapshot
  int64_t known = 0;                     // keys that somebody has read before, >= position
  MissCause cause = MissCause::kNone;
};

// Owns snapshots of one pool, which must outlive it. Not thread safe.
class PrefixCache {
 public:
  struct Options {
    // Of what is remembered without a state; 8 bytes each (PrefixTree::kNodeKeys).
    int64_t most_ghost_keys = 1'000'000;
    // Less is read again sooner than a state is copied.
    int64_t fewest_saved_tokens = 16;
  };
  explicit PrefixCache(StatePool& pool) : PrefixCache(pool, Options()) {}
  PrefixCache(StatePool& pool, Options options);

  // The deepest snapshot of `keys` at `most` or before. It counts as used now, with the branches
  // it grew from.
  PrefixMatch Find(const std::string& space, std::span<const PrefixKey> keys, int64_t most);

  // Takes the state of a sequence that has read exactly `keys`. One that is there already stays,
  // and is kept as long as the new one would have been.
  void Insert(const std::string& space, std::span<const PrefixKey> keys, SequenceState state,
              SnapshotKind kind);

  // Remembers that `keys` were read, without a state.
  void Note(const std::string& space, std::span<const PrefixKey> keys);

  // Keeps the snapshot of exactly `keys` from being evicted or taken, as if a running sequence held
  // it, until as many calls of Unpin. Null when there is none any more.
  const SequenceState* Pin(const std::string& space, std::span<const PrefixKey> keys);
  void Unpin(const std::string& space, std::span<const PrefixKey> keys);

  // Gives up the snapshot of exactly `keys`, a match, to whoever goes on from it and cannot get
  // room for a fork: the last resort of a pool for few sequences. Not one that is pinned.
  SequenceState Take(const std::string& space, std::span<const PrefixKey> keys);

  // Evicts the snapshots least worth keeping until the pool has room for so much; `keep`, a match
  // to be forked next, is not one of them. False when all of them would not do, because sequences
  // that run hold too much; then nothing was evicted.
  bool MakeRoom(int64_t slots, int64_t pages, const SequenceState* keep = nullptr);
  // The same for a fork that is to become a snapshot of `keys` and save `tokens` tokens: only at
  // the cost of snapshots worth less. False when it is not worth taking.
  bool MakeRoomForSnapshot(const std::string& space, std::span<const PrefixKey> keys,
                           SnapshotKind kind, int64_t tokens);

  int64_t snapshots() const { return std::ssize(tree_.snapshots()); }
  int64_t evictions() const { return evictions_; }
  // Memory of what was read, without and with snapshots that it leads to.
  int64_t ghost_bytes() const { return tree_.ghost_keys() * sizeof(PrefixKey); }
  int64_t path_bytes() const { return tree_.path_keys() * sizeof(PrefixKey); }

 private:
  using Node = PrefixTree::Node;
  Node* NodeOf(const std::string& space, std::span<const PrefixKey> keys);
  bool Evict(int64_t slots, int64_t pages, const SequenceState* keep, double worth_less_than);
  void Use(Node& node) const;
  static void PassTurns(const Node& last);

  StatePool& pool_;
  Options options_;
  PrefixTree tree_;
  double clock_ = 0;
  int64_t evictions_ = 0;
};

}  // namespace fulmen
