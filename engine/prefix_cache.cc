#include "engine/prefix_cache.h"

#include <algorithm>
#include <limits>
#include <list>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"

namespace fulmen {
namespace {

using Node = PrefixTree::Node;

// What is evicted first. A snapshot's value is the tokens it saves (those since the nearest
// snapshot it grew from, which would be read again without it) times the weight of its kind, by
// the bytes that go with it: its slot, and the pages that nobody else holds. Its priority is its
// value more than the cache's clock when it was used last, and the clock is the highest priority
// evicted so far ("Greedy-Dual-Size", Cao and Irani, 1997): what is not used falls behind, the
// sooner the less it is worth.
//
// The weights say how likely a request comes back just there: to a stride, when a long prompt is
// changed somewhere behind it; to the last turn of a conversation, with the next one or a retry;
// to a branch, with every new request that shares its beginning with others, such as a system
// prompt and tools. Strides thin out by themselves, since the next one saves what an evicted one
// did. A turn that two later ones have passed counts as a stride.
constexpr double kStrideWeight = 1;
constexpr double kTurnWeight = 8;
constexpr double kBranchWeight = 32;
// So often others have gone on from a snapshot in a new way that it is a branch. Once is common:
// clients leave the reasoning of an answer out of the next turn.
constexpr int64_t kBranchParts = 2;

double WeightOf(SnapshotKind kind, const Node* above) {
  switch (kind) {
    case SnapshotKind::kStride:
      return kStrideWeight;
    case SnapshotKind::kBorder:
      while (above != nullptr && above->snapshot->weight < kTurnWeight) {
        above = PrefixTree::Above(*above);
      }
      return above == nullptr ? kBranchWeight : kTurnWeight;
    case SnapshotKind::kEnd:
      return kTurnWeight;
    case SnapshotKind::kBranch:
      return kBranchWeight;
  }
  return 0;
}

double Weight(const Snapshot& snapshot) {
  return snapshot.parted >= kBranchParts ? kBranchWeight : snapshot.weight;
}

double ValueOf(const StatePool& pool, double weight, int64_t tokens, int64_t own_pages) {
  const int64_t bytes = pool.slot_bytes() + own_pages * pool.page_bytes();
  return weight * static_cast<double>(tokens) / static_cast<double>(std::max<int64_t>(1, bytes));
}

// Units of memory that are missing for so many more.
int64_t Shortage(int64_t wanted, int64_t bytes, int64_t used, int64_t most) {
  return bytes == 0 ? 0 : std::max<int64_t>(0, wanted - (most - used) / bytes);
}

// Works out which snapshots to evict before any goes: what each one's going frees and what others
// are worth then.
class EvictionPlan {
 public:
  EvictionPlan(const StatePool& pool, std::list<Node>& snapshots, const SequenceState* keep);

  struct Step {
    Node* node;
    double priority;
  };
  // The snapshots that free so much, those of least priority first; none when it takes some that
  // are not worth less than the limit, or is impossible. Once.
  std::optional<std::vector<Step>> Free(int64_t slots, int64_t pages, double worth_less_than);

 private:
  struct Candidate {
    Node* node;
    const Node* above;      // the nearest snapshot above that stays so far
    int64_t own_pages = 0;  // that nobody else holds
    double priority = 0;
    bool stays = false;
  };
  struct Page {
    int64_t holders = 0;    // sequences and snapshots
    int64_t snapshots = 0;  // of them
    size_t sum = 0;         // of the candidates' indices: of one, which it is
    bool HasOneSnapshot() const { return holders == 1 && snapshots == 1; }
  };
  Candidate* Least(bool slots_suffice, double worth_less_than);
  void Drop(Candidate& candidate);
  void Weigh(Candidate& candidate) const;

  const StatePool& pool_;
  std::vector<Candidate> candidates_;
  std::vector<Page> pages_;  // by their numbers
};

EvictionPlan::EvictionPlan(const StatePool& pool, std::list<Node>& snapshots,
                           const SequenceState* keep)
    : pool_(pool) {
  for (Node& node : snapshots) {
    const SequenceState& state = node.snapshot->state;
    for (size_t i = 0; i < state.pages().size(); ++i) {
      const auto [number, sharers] = state.page_use(i);
      if (number >= std::ssize(pages_)) pages_.resize(static_cast<size_t>(number) + 1);
      Page& page = pages_[static_cast<size_t>(number)];
      page.holders = sharers;
      ++page.snapshots;
      page.sum += candidates_.size();
    }
    candidates_.push_back({.node = &node,
                           .above = PrefixTree::Above(node),
                           .stays = &state == keep || node.snapshot->pins > 0});
  }
  for (const Page& page : pages_) {
    if (page.HasOneSnapshot()) ++candidates_[page.sum].own_pages;
  }
  for (Candidate& candidate : candidates_) Weigh(candidate);
}

void EvictionPlan::Weigh(Candidate& candidate) const {
  const Snapshot& snapshot = *candidate.node->snapshot;
  const int64_t tokens =
      candidate.node->depth - (candidate.above != nullptr ? candidate.above->depth : 0);
  candidate.priority =
      snapshot.used + ValueOf(pool_, Weight(snapshot), tokens, candidate.own_pages);
}

std::optional<std::vector<EvictionPlan::Step>> EvictionPlan::Free(int64_t slots, int64_t pages,
                                                                  double worth_less_than) {
  std::vector<Step> steps;
  while (slots > 0 || pages > 0) {
    Candidate* least = Least(slots <= 0, worth_less_than);
    if (least == nullptr) return std::nullopt;
    steps.push_back({least->node, least->priority});
    --slots;
    pages -= least->own_pages;
    Drop(*least);
  }
  return steps;
}

// Where only pages are missing, one whose going frees none would go in vain. Of pages that only
// snapshots hold, there is always one that a snapshot alone does: the last of the longest.
EvictionPlan::Candidate* EvictionPlan::Least(bool slots_suffice, double worth_less_than) {
  Candidate* least = nullptr;
  for (Candidate& candidate : candidates_) {
    if (candidate.stays || candidate.priority >= worth_less_than) continue;
    if (slots_suffice && candidate.own_pages == 0) continue;
    // Of equals the one that came first, which is the last in the list.
    if (least == nullptr || candidate.priority <= least->priority) least = &candidate;
  }
  return least;
}

void EvictionPlan::Drop(Candidate& candidate) {
  candidate.stays = true;  // it cannot go twice
  const size_t index = static_cast<size_t>(&candidate - candidates_.data());
  const SequenceState& state = candidate.node->snapshot->state;
  for (size_t i = 0; i < state.pages().size(); ++i) {
    Page& page = pages_[static_cast<size_t>(state.page_use(i).number)];
    --page.holders;
    --page.snapshots;
    page.sum -= index;
    if (!page.HasOneSnapshot()) continue;
    ++candidates_[page.sum].own_pages;
    Weigh(candidates_[page.sum]);
  }
  for (Candidate& below : candidates_) {
    if (below.above != candidate.node) continue;
    below.above = candidate.above;
    Weigh(below);
  }
}

}  // namespace

std::string_view MissCauseName(MissCause cause) {
  switch (cause) {
    case MissCause::kNone:
      return "none";
    case MissCause::kNew:
      return "new";
    case MissCause::kBetween:
      return "between";
    case MissCause::kEvicted:
      return "evicted";
  }
  return "";
}

PrefixCache::PrefixCache(StatePool& pool, Options options)
    : pool_(pool), options_(options), tree_(options.most_ghost_keys) {}

PrefixMatch PrefixCache::Find(const std::string& space, std::span<const PrefixKey> keys,
                              int64_t most) {
  const PrefixTree::Place place = tree_.Find(space, keys);
  const int64_t shared = std::min(place.known, most);
  bool evicted = false;
  Node* node = place.node;
  for (; node != nullptr && !(node->snapshot && node->depth <= most); node = node->parent) {
    evicted |= node->evicted && node->depth <= most;
  }
  PrefixMatch match = {.known = place.known};
  if (node != nullptr) {
    FULMEN_CHECK(node->snapshot->state.position() == node->depth, "a state at {} in a node at {}",
                 node->snapshot->state.position(), node->depth);
    match.state = &node->snapshot->state;
    match.position = node->depth;
    match.pinned = node->snapshot->pins > 0;
    Use(*node);
  }
  if (match.position < shared) {
    match.cause = evicted ? MissCause::kEvicted : MissCause::kBetween;
  } else if (place.known == 0 && most > 0) {
    match.cause = MissCause::kNew;
  }
  return match;
}

// The snapshot was used now, and so were the branches that it grew from: each would have been, had
// the request been another.
void PrefixCache::Use(Node& node) const {
  node.snapshot->used = clock_;
  for (Node* above = PrefixTree::Above(node); above != nullptr; above = PrefixTree::Above(*above)) {
    if (Weight(*above->snapshot) >= kBranchWeight) above->snapshot->used = clock_;
  }
}

void PrefixCache::Insert(const std::string& space, std::span<const PrefixKey> keys,
                         SequenceState state, SnapshotKind kind) {
  FULMEN_CHECK(state.position() == std::ssize(keys), "a state at {} after {} keys",
               state.position(), keys.size());
  if (keys.empty()) return;
  state.Trim();
  Node& node = tree_.Add(space, keys);
  const double weight = WeightOf(kind, PrefixTree::Above(node));
  if (node.snapshot) {
    node.snapshot->weight = std::max(node.snapshot->weight, weight);
  } else {
    tree_.Put(node, {.state = std::move(state), .weight = weight});
  }
  Use(node);
  if (weight == kTurnWeight) PassTurns(node);
  // Strides of a stretch that is still being read are of one age, so that they thin out evenly.
  for (Node* above = PrefixTree::Above(node);
       above != nullptr && Weight(*above->snapshot) == kStrideWeight;
       above = PrefixTree::Above(*above)) {
    above->snapshot->used = clock_;
  }
}

// A conversation goes on from its last answer or, by clients that leave its reasoning out, from
// before it. What lies behind these is on the way through a long prompt.
void PrefixCache::PassTurns(const Node& last) {
  bool before = false;
  for (Node* above = PrefixTree::Above(last); above != nullptr; above = PrefixTree::Above(*above)) {
    if (above->snapshot->weight != kTurnWeight) continue;
    if (before) above->snapshot->weight = kStrideWeight;
    before = true;
  }
}

void PrefixCache::Note(const std::string& space, std::span<const PrefixKey> keys) {
  tree_.Note(space, keys);
}

// The node of the snapshot of exactly `keys`; null if there is none.
PrefixTree::Node* PrefixCache::NodeOf(const std::string& space, std::span<const PrefixKey> keys) {
  Node* node = tree_.Find(space, keys).node;
  const bool there = node != nullptr && node->snapshot && node->depth == std::ssize(keys);
  return there ? node : nullptr;
}

const SequenceState* PrefixCache::Pin(const std::string& space, std::span<const PrefixKey> keys) {
  Node* node = NodeOf(space, keys);
  if (node == nullptr) return nullptr;
  ++node->snapshot->pins;
  return &node->snapshot->state;
}

void PrefixCache::Unpin(const std::string& space, std::span<const PrefixKey> keys) {
  Node* node = NodeOf(space, keys);
  FULMEN_CHECK(node != nullptr && node->snapshot->pins > 0, "nothing is pinned at {}", keys.size());
  --node->snapshot->pins;
}

SequenceState PrefixCache::Take(const std::string& space, std::span<const PrefixKey> keys) {
  Node* node = NodeOf(space, keys);
  FULMEN_CHECK(node != nullptr && node->snapshot->pins == 0, "no snapshot at {} to be taken",
               keys.size());
  ++evictions_;
  return tree_.Evict(*node);
}

bool PrefixCache::MakeRoom(int64_t slots, int64_t pages, const SequenceState* keep) {
  return Evict(slots, pages, keep, std::numeric_limits<double>::infinity());
}

bool PrefixCache::MakeRoomForSnapshot(const std::string& space, std::span<const PrefixKey> keys,
                                      SnapshotKind kind, int64_t tokens) {
  if (tokens < options_.fewest_saved_tokens) return false;
  const Node* above = tree_.Find(space, keys).node;
  if (above != nullptr && !above->snapshot) above = PrefixTree::Above(*above);
  if (above != nullptr && above->depth == std::ssize(keys)) return false;
  const int64_t pages = keys.size() % StatePool::kPageTokens == 0 ? 0 : pool_.PagesOf(1);
  const double value = ValueOf(pool_, WeightOf(kind, above), tokens, pages);
  return Evict(1, pages, nullptr, clock_ + value);
}

bool PrefixCache::Evict(int64_t slots, int64_t pages, const SequenceState* keep,
                        double worth_less_than) {
  const StatePool::Options& most = pool_.options();
  slots = Shortage(slots, pool_.slot_bytes(), pool_.used_slot_bytes(), most.most_slot_bytes);
  pages = Shortage(pages, pool_.page_bytes(), pool_.used_page_bytes(), most.most_page_bytes);
  if (slots == 0 && pages == 0) return true;
  EvictionPlan plan(pool_, tree_.snapshots(), keep);
  const auto steps = plan.Free(slots, pages, worth_less_than);
  if (!steps) return false;
  for (const EvictionPlan::Step& step : *steps) {
    clock_ = std::max(clock_, step.priority);
    tree_.Evict(*step.node);
    ++evictions_;
  }
  return true;
}

}  // namespace fulmen
