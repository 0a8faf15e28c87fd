// A store of tagged states and what its tests do with it.
#pragma once

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "base/check.h"
#include "engine/state_store.h"
#include "engine/testing/tagged_state.h"

namespace fulmen::testing {

inline double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline int64_t BytesOfFiles(const std::string& folder) {
  int64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    bytes += static_cast<int64_t>(entry.file_size());
  }
  return bytes;
}

class StoredStates {
 public:
  explicit StoredStates(std::string folder, const Config& config = TaggedConfig())
      : folder_(std::move(folder)),
        pool_(config, {.poison = true}),
        identity_{.model = "model",
                  .kernels = "cpu",
                  .page_bytes = pool_.page_bytes(),
                  .slot_bytes = pool_.slot_bytes()} {}

  StateIdentity& identity() { return identity_; }

  std::unique_ptr<StateStore> MustOpen(int64_t most_bytes, const std::string& below = "") const {
    auto store = StateStore::Open(folder_ + "/" + below, identity_, most_bytes);
    FULMEN_CHECK(store, "{}", store.error().message);
    return *std::move(store);
  }

  // About what the files of a state of so many keys take.
  int64_t MostBytes(int64_t keys) const {
    return pool_.slot_bytes() + pool_.PagesOf(keys) * (pool_.page_bytes() + 4000) + 8 * keys + 1000;
  }

  Status Write(StateStore& store, const std::string& space, std::span<const PrefixKey> keys) {
    const SequenceState state = Made(space, keys);
    return store.Write(space, keys, StateBytes(state));
  }

  // Into memory full of NaN.
  Status Load(StateStore& store, const std::string& space, std::span<const PrefixKey> keys) {
    const SequenceState state = pool_.CreateAt(std::ssize(keys), nullptr).value();
    FULMEN_TRY(store.Load(space, keys, StateBytes(state), 0));
    const SequenceState made = Made(space, keys);
    FULMEN_CHECK(std::ranges::equal(state.slot_data(), made.slot_data()), "a wrong slot");
    for (size_t i = 0; i < made.pages().size(); ++i) {
      FULMEN_CHECK(std::ranges::equal(Page(state, i), Page(made, i)), "page {} is wrong", i);
    }
    return {};
  }
  bool Loads(StateStore& store, const std::string& space, std::span<const PrefixKey> keys) {
    return Load(store, space, keys).has_value();
  }

 private:
  std::span<std::byte> Page(const SequenceState& state, size_t page) const {
    return {state.pages()[page], static_cast<size_t>(pool_.page_bytes())};
  }
  // A tagged state, with noise in the slot and in half of what tags leave of a page: one that does
  // not get smaller, others that do.
  SequenceState Made(const std::string& space, std::span<const PrefixKey> keys) {
    SequenceState state = pool_.Create().value();
    FULMEN_CHECK(state.Reserve(std::ssize(keys)), "no room");
    const auto tags = Tags(space, keys);
    constexpr size_t kTags = StatePool::kPageTokens * sizeof(uint64_t);
    for (size_t i = 0; i < state.pages().size(); ++i) {
      const auto page = Page(state, i);
      std::ranges::fill(page, std::byte{0});
      const size_t end = std::min(tags.size(), (i + 1) * size_t{StatePool::kPageTokens});
      FillWithNoise(page.subspan(kTags, (page.size() - kTags) / 2), tags[end - 1]);
    }
    FillWithNoise(state.slot_data(), tags.back());
    FULMEN_CHECK(ReadTagged(state, space, keys), "no room");
    return state;
  }
  static void FillWithNoise(std::span<std::byte> bytes, uint64_t seed) {
    RandomStream random(seed);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.Next());
  }

  std::string folder_;
  StatePool pool_;
  StateIdentity identity_;
};

}  // namespace fulmen::testing
