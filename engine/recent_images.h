// Images that were made ready lately, by what they came from: conversations bring theirs again with
// each turn.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "images/tiles.h"

namespace fulmen {

// Thread safe.
class RecentImages {
 public:
  using Image = std::shared_ptr<const TiledImage>;

  // Keeps images of so many bytes together, at most.
  explicit RecentImages(size_t most_bytes) : most_bytes_(most_bytes) {}

  // Null where it is not known (any more). `key` names one image and no other, as a cryptographic
  // digest does.
  Image Find(const std::string& key);
  void Add(const std::string& key, Image image);

 private:
  using Entry = std::pair<std::string, Image>;

  const size_t most_bytes_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // the latest first
  std::map<std::string, std::list<Entry>::iterator> by_key_;
  size_t bytes_ = 0;
};

}  // namespace fulmen
