// States that show which keys a sequence has read, in place of what a model would have made of
// them.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "engine/prefix_tree.h"
#include "model/config.h"
#include "model/state.h"

namespace fulmen::testing {

inline constexpr int64_t kPlenty = int64_t{1} << 40;  // no limit to a test

// A layer of each kind; a slot takes as much as four pages.
inline Config TaggedConfig() {
  Config config;
  config.layers = {LayerKind::kLightning, LayerKind::kSoftmax};
  config.heads = 28;
  config.kv_heads = 1;
  config.head_dim = 8;
  return config;
}

// Keys of a vocabulary so small that prompts meet by chance.
inline std::vector<PrefixKey> RandomKeys(uint64_t seed, int64_t count) {
  std::vector<PrefixKey> keys;
  RandomStream random(seed);
  for (int64_t i = 0; i < count; ++i) keys.push_back(random.Next() % 4);
  return keys;
}

inline std::vector<PrefixKey> Joined(std::span<const PrefixKey> a, std::span<const PrefixKey> b) {
  std::vector<PrefixKey> all(a.begin(), a.end());
  all.insert(all.end(), b.begin(), b.end());
  return all;
}

// For each key a tag of all keys up to it.
inline std::vector<uint64_t> Tags(const std::string& space, std::span<const PrefixKey> keys) {
  std::vector<uint64_t> tags;
  uint64_t tag = std::hash<std::string>()(space);
  for (const PrefixKey key : keys) tags.push_back(tag = MixSeed({tag, key}));
  return tags;
}

inline std::byte* TagPlace(const SequenceState& state, size_t position) {
  constexpr size_t kPage = StatePool::kPageTokens;
  return state.pages()[position / kPage] + position % kPage * sizeof(uint64_t);
}

// Reads on to the end of `keys`, whose beginning the state has read: leaves tags in the pages, and
// the last one in the slot. False without room.
inline bool ReadTagged(SequenceState& state, const std::string& space,
                       std::span<const PrefixKey> keys) {
  const int64_t more = std::ssize(keys) - state.position();
  if (!state.Reserve(more)) return false;
  const std::vector<uint64_t> tags = Tags(space, keys);
  for (size_t i = static_cast<size_t>(state.position()); i < tags.size(); ++i) {
    std::memcpy(TagPlace(state, i), &tags[i], sizeof(uint64_t));
    std::memcpy(state.lightning(0).data(), &tags[i], sizeof(uint64_t));
  }
  state.Advance(more);
  return true;
}

// Whether the state has read the beginning of `keys` and nothing else.
inline bool HoldsTags(const SequenceState& state, const std::string& space,
                      std::span<const PrefixKey> keys) {
  if (state.position() > std::ssize(keys)) return false;
  const auto tags = Tags(space, keys.first(static_cast<size_t>(state.position())));
  uint64_t found = 0;
  for (size_t i = 0; i < tags.size(); ++i) {
    std::memcpy(&found, TagPlace(state, i), sizeof found);
    if (found != tags[i]) return false;
  }
  if (tags.empty()) return true;
  std::memcpy(&found, state.lightning(0).data(), sizeof found);
  return found == tags.back();
}

}  // namespace fulmen::testing
