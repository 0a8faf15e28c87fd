#include "engine/prefix_tree.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace fulmen {
namespace {

// Of one node, so that splitting and merging never copies more. A long prompt is a chain of nodes,
// and is forgotten from its end.
constexpr size_t kMostNodeKeys = 4096;

int64_t CommonKeys(std::span<const PrefixKey> a, std::span<const PrefixKey> b) {
  return std::ranges::mismatch(a, b).in1 - a.begin();
}

}  // namespace

PrefixTree::Place PrefixTree::Find(const std::string& space, std::span<const PrefixKey> keys) {
  const auto root = roots_.find(space);
  if (root == roots_.end()) return {};
  const Place place = Descend(root->second, keys);
  Touch(place.part != nullptr ? *place.part : *place.node);
  return place;
}

PrefixTree::Place PrefixTree::Descend(Node& root, std::span<const PrefixKey> keys) {
  Place place = {.node = &root};
  while (place.known < std::ssize(keys)) {
    const std::span<const PrefixKey> rest = keys.subspan(static_cast<size_t>(place.known));
    const auto child = place.node->children.find(rest.front());
    if (child == place.node->children.end()) break;
    const int64_t common = CommonKeys(rest, child->second->keys);
    place.known += common;
    if (common < std::ssize(child->second->keys)) {
      place.part = child->second;
      break;
    }
    place.node = child->second;
  }
  return place;
}

void PrefixTree::Note(const std::string& space, std::span<const PrefixKey> keys) {
  if (Find(space, keys).known < std::ssize(keys)) Add(space, keys);
  ForgetTooMany();
}

void PrefixTree::Put(Node& node, Snapshot snapshot) {
  FULMEN_CHECK(!node.snapshot && snapshot.state.position() == node.depth,
               "a state at {} for a node at {}", snapshot.state.position(), node.depth);
  node.snapshot.emplace(std::move(snapshot));
  Carry(node, 1);
  ForgetTooMany();
}

SequenceState PrefixTree::Evict(Node& node) {
  SequenceState state = std::move(node.snapshot.value().state);
  node.snapshot.reset();
  node.evicted = true;
  Carry(node, -1);
  ForgetTooMany();
  return state;
}

PrefixTree::Node* PrefixTree::Above(const Node& node) {
  Node* above = node.parent;
  while (above != nullptr && !above->snapshot) above = above->parent;
  return above;
}

PrefixTree::Node& PrefixTree::Add(const std::string& space, std::span<const PrefixKey> keys) {
  FULMEN_CHECK(!keys.empty(), "no keys");
  const auto [entry, made] = roots_.try_emplace(space);
  if (made) entry->second.space = &entry->first;
  Place place = Descend(entry->second, keys);
  Node* node = place.node;
  const std::span<const PrefixKey> rest = keys.subspan(static_cast<size_t>(place.known));
  if (!rest.empty() && (place.part != nullptr || !node->children.empty())) {
    Node* from = node->snapshot ? node : Above(*node);
    if (from != nullptr) ++from->snapshot->parted;
  }
  if (place.part != nullptr) node = &SplitAbove(*place.part, place.known - node->depth);
  for (size_t begin = 0; begin < rest.size(); begin += kMostNodeKeys) {
    node = &AddChild(*node, rest.subspan(begin, std::min(kMostNodeKeys, rest.size() - begin)));
  }
  Touch(*node);
  return *node;
}

PrefixTree::Node& PrefixTree::AddChild(Node& parent, std::span<const PrefixKey> keys) {
  Node& child = ghosts_.emplace_front();
  child.keys.assign(keys.begin(), keys.end());
  child.parent = &parent;
  child.depth = parent.depth + std::ssize(keys);
  child.list = &ghosts_;
  child.self = ghosts_.begin();
  parent.children.emplace(keys.front(), &child);
  Count(child, std::ssize(keys) + kNodeKeys);
  return child;
}

// The node that takes over the first `keys` of the node's.
PrefixTree::Node& PrefixTree::SplitAbove(Node& node, int64_t keys) {
  const bool carries = node.carrying > 0;
  std::list<Node>& list = carries ? paths_ : ghosts_;
  Node& above = list.emplace_front();
  const auto end = node.keys.begin() + keys;
  above.keys.assign(node.keys.begin(), end);
  node.keys = std::vector<PrefixKey>(end, node.keys.end());
  above.parent = std::exchange(node.parent, &above);
  above.depth = node.depth - std::ssize(node.keys);
  above.list = &list;
  above.self = list.begin();
  above.carrying = carries ? 1 : 0;
  above.children.emplace(node.keys.front(), &node);
  above.parent->children.at(above.keys.front()) = &above;
  Count(above, kNodeKeys);
  return above;
}

// Undoes a split that nothing needs any more.
void PrefixTree::MergeWithOnlyChild(Node& node) {
  if (node.parent == nullptr || node.snapshot || node.evicted || node.children.size() != 1) return;
  Node& child = *node.children.begin()->second;
  if (node.keys.size() + child.keys.size() > kMostNodeKeys) return;
  std::vector<PrefixKey> keys;
  keys.reserve(node.keys.size() + child.keys.size());
  keys.insert(keys.end(), node.keys.begin(), node.keys.end());
  keys.insert(keys.end(), child.keys.begin(), child.keys.end());
  child.keys = std::move(keys);
  child.parent = node.parent;
  node.parent->children.at(node.keys.front()) = &child;
  Count(node, -kNodeKeys);
  node.list->erase(node.self);
}

// One snapshot more or less at the node: those that carried none before, or none now, change sides.
void PrefixTree::Carry(Node& node, int64_t change) {
  node.carrying += change;
  Settle(node);
  for (Node* below = &node; below->parent != nullptr; below = below->parent) {
    // Whether this one carries at all has changed only where it is its first or was its last.
    if (below->carrying != (change > 0 ? 1 : 0)) return;
    const int64_t keys = std::ssize(below->keys) + kNodeKeys;
    ghost_keys_ -= change * keys;
    path_keys_ += change * keys;
    below->parent->carrying += change;
    Settle(*below->parent);
  }
}

// Moves a node to the list where it belongs.
void PrefixTree::Settle(Node& node) {
  if (node.list == nullptr) return;
  std::list<Node>& list = node.snapshot ? snapshots_ : node.carrying > 0 ? paths_ : ghosts_;
  if (node.list == &list) return;
  list.splice(list.begin(), *node.list, node.self);
  node.list = &list;
}

// The node and all ghosts above it were used last.
void PrefixTree::Touch(Node& node) {
  for (Node* used = &node; used != nullptr && used->list == &ghosts_; used = used->parent) {
    ghosts_.splice(ghosts_.begin(), ghosts_, used->self);
  }
}

void PrefixTree::Count(const Node& node, int64_t keys) {
  (node.carrying > 0 ? path_keys_ : ghost_keys_) += keys;
}

void PrefixTree::Forget(Node& leaf) {
  FULMEN_CHECK(leaf.children.empty(), "a ghost used longer ago than one that goes on from it");
  Node& parent = *leaf.parent;
  Count(leaf, -std::ssize(leaf.keys) - kNodeKeys);
  parent.children.erase(leaf.keys.front());
  ghosts_.erase(leaf.self);
  if (parent.space != nullptr && parent.children.empty()) {
    roots_.erase(roots_.find(*parent.space));
  } else {
    MergeWithOnlyChild(parent);
  }
}

void PrefixTree::ForgetTooMany() {
  while (ghost_keys_ > most_ghost_keys_) Forget(ghosts_.back());
}

}  // namespace fulmen
