#include "engine/recent_images.h"

namespace fulmen {
namespace {

size_t BytesOf(const TiledImage& image) {
  return image.canvas.rgb.size() + image.thumbnail.rgb.size();
}

}  // namespace

RecentImages::Image RecentImages::Find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->second;
}

void RecentImages::Add(const std::string& key, Image image) {
  const std::lock_guard lock(mutex_);
  const size_t bytes = BytesOf(*image);
  if (bytes > most_bytes_ || by_key_.contains(key)) return;
  while (bytes_ + bytes > most_bytes_) {
    bytes_ -= BytesOf(*entries_.back().second);
    by_key_.erase(entries_.back().first);
    entries_.pop_back();
  }
  entries_.emplace_front(key, std::move(image));
  by_key_[key] = entries_.begin();
  bytes_ += bytes;
}

}  // namespace fulmen
