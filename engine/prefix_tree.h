// What sequences have read, as a radix tree for each namespace ("space"), with states of sequences
// at some of its nodes. Nodes that lead to no state are ghosts: they only tell what was read.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/state.h"

namespace fulmen {

// One position of a prompt: a token id, or what stands for the content of an image there.
using PrefixKey = uint64_t;

// A state and what decides how long it is kept (prefix_cache.cc).
struct Snapshot {
  SequenceState state;
  double weight = 0;   // of each token it saves
  double used = 0;     // the cache's clock when it was used last
  int64_t parted = 0;  // how often a sequence went on from here in another way than all before
  int64_t pins = 0;    // how often it must not be evicted
};

// Not thread safe. A pointer to a node stays valid while the node has a snapshot; other nodes are
// split, merged and forgotten by every call that is not const.
class PrefixTree {
 public:
  struct Node {
    std::vector<PrefixKey> keys;  // from the parent to here; a root has none
    Node* parent = nullptr;
    int64_t depth = 0;                    // keys from the root to here
    std::map<PrefixKey, Node*> children;  // by their first key
    std::optional<Snapshot> snapshot;     // its position is `depth`
    bool evicted = false;                 // there was a snapshot, and had to make room
    int64_t carrying = 0;                 // children that lead to snapshots, and its own
    // Where it is owned; a root is in no list.
    std::list<Node>* list = nullptr;
    std::list<Node>::iterator self = {};
    const std::string* space = nullptr;  // of a root
  };

  // Ghosts take at most `most_ghost_keys`; the least recently used end of what was read goes first.
  // A node counts as kNodeKeys keys beside those it has, which is about what it takes.
  static constexpr int64_t kNodeKeys = 32;
  explicit PrefixTree(int64_t most_ghost_keys) : most_ghost_keys_(most_ghost_keys) {}
  PrefixTree(const PrefixTree&) = delete;
  PrefixTree& operator=(const PrefixTree&) = delete;

  struct Place {
    Node* node = nullptr;  // the deepest whose keys are all there; null when nobody read any
    Node* part = nullptr;  // its child some of whose keys are there, if any
    int64_t known = 0;     // keys that are there
  };
  // How far `keys` were read before. Counts as a use of the ghosts there.
  Place Find(const std::string& space, std::span<const PrefixKey> keys);

  // Remembers that `keys` were read.
  void Note(const std::string& space, std::span<const PrefixKey> keys);
  // The node at the end of `keys`, at least one; for Put(), which may leave out of it.
  Node& Add(const std::string& space, std::span<const PrefixKey> keys);
  // Puts a snapshot there, where none is yet.
  void Put(Node& node, Snapshot snapshot);
  // Takes the snapshot of `node` out to make room; the keys stay, as ghosts where they lead to no
  // other.
  SequenceState Evict(Node& node);

  // The nearest snapshot above the node; null if there is none.
  static Node* Above(const Node& node);

  std::list<Node>& snapshots() { return snapshots_; }
  const std::list<Node>& snapshots() const { return snapshots_; }
  int64_t ghost_keys() const { return ghost_keys_; }
  // Keys that lead to snapshots, counted alike.
  int64_t path_keys() const { return path_keys_; }

 private:
  Place Descend(Node& root, std::span<const PrefixKey> keys);
  Node& AddChild(Node& parent, std::span<const PrefixKey> keys);
  Node& SplitAbove(Node& node, int64_t keys);
  void MergeWithOnlyChild(Node& node);
  void Carry(Node& node, int64_t change);
  void Settle(Node& node);
  void Touch(Node& node);
  void Count(const Node& node, int64_t keys);
  void Forget(Node& leaf);
  void ForgetTooMany();

  int64_t most_ghost_keys_;
  int64_t ghost_keys_ = 0;
  int64_t path_keys_ = 0;
  std::map<std::string, Node> roots_;
  // All nodes but the roots; flat, so that no chain of them is too long to be destroyed. Ghosts are
  // in the order of their last use, and a use of a node is one of all above it: the last ghost is
  // a leaf.
  std::list<Node> ghosts_;
  std::list<Node> paths_;  // lead to snapshots
  std::list<Node> snapshots_;
};

}  // namespace fulmen
