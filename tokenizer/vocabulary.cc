#include "tokenizer/vocabulary.h"

#include <algorithm>

#include "tokenizer/hash.h"

namespace fulmen {

uint64_t Vocabulary::Key(std::string_view bytes) {
  return bytes.size() <= 8 ? LoadUpTo8(bytes.data(), bytes.size()) : HashBytes(bytes);
}

size_t Vocabulary::Home(uint64_t key, size_t length) const {
  return MixHash(key + length) & (slots_.size() - 1);
}

const Vocabulary::Slot* Vocabulary::FindSlot(std::string_view bytes) const {
  if (slots_.empty() || bytes.size() > longest_) return nullptr;
  const uint64_t key = Key(bytes);
  for (size_t i = Home(key, bytes.size());; i = (i + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[i];
    if (slot.id < 0) return nullptr;
    if (slot.key != key || slot.length != bytes.size()) continue;
    if (bytes.size() <= 8 || *Bytes(slot.id) == bytes) return &slot;
  }
}

void Vocabulary::Grow() {
  std::vector<Slot> old(std::max<size_t>(1024, slots_.size() * 2));
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.id < 0 || slot.length == Slot::kGone) continue;
    size_t i = Home(slot.key, slot.length);
    while (slots_[i].id >= 0) i = (i + 1) & (slots_.size() - 1);
    slots_[i] = slot;
  }
}

Status Vocabulary::Add(std::string_view bytes, int64_t id, const std::string& where) {
  if (id < 0 || id >= kMaxSize) {
    return Fail(ErrorCode::kCorrupt, "{}: token id {} is outside [0, {})", where, id, kMaxSize);
  }
  if (bytes.size() >= Slot::kGone) {
    return Fail(ErrorCode::kCorrupt, "{}: token {} is longer than 4 GiB", where, id);
  }
  if (const auto present = Bytes(id)) {
    if (*present == bytes) return {};
    return Fail(ErrorCode::kCorrupt, "{}: token id {} stands for two tokens, '{}' and '{}'", where,
                id, *present, bytes);
  }
  if (id >= size()) {
    spans_.resize(static_cast<size_t>(id) + 1);
    whole_.resize(spans_.size());
  }
  Insert(bytes, static_cast<int32_t>(id));
  return {};
}

void Vocabulary::Insert(std::string_view bytes, int32_t id) {
  spans_[static_cast<size_t>(id)] = {text_.size(), bytes.size()};
  text_ += bytes;
  longest_ = std::max(longest_, bytes.size());
  if (FindSlot(bytes) != nullptr) return;
  if (used_ * 5 >= slots_.size() * 2) Grow();
  const uint64_t key = Key(bytes);
  size_t i = Home(key, bytes.size());
  while (slots_[i].id >= 0) i = (i + 1) & (slots_.size() - 1);
  slots_[i] = {key, static_cast<uint32_t>(bytes.size()), id};
  ++used_;
}

void Vocabulary::Rename(int32_t id, std::string_view bytes) {
  const Slot* old = FindSlot(*Bytes(id));
  if (old->id == id) slots_[static_cast<size_t>(old - slots_.data())].length = Slot::kGone;
  whole_[static_cast<size_t>(id)] = false;
  Insert(bytes, id);
}

std::optional<std::string_view> Vocabulary::Bytes(int64_t id) const {
  if (id < 0 || id >= size()) return std::nullopt;
  const Span& span = spans_[static_cast<size_t>(id)];
  if (span.length == Span::kNone) return std::nullopt;
  return std::string_view(text_).substr(span.begin, span.length);
}

std::optional<int32_t> Vocabulary::Find(std::string_view bytes) const {
  const Slot* slot = FindSlot(bytes);
  return slot != nullptr ? std::optional(slot->id) : std::nullopt;
}

void Vocabulary::MarkWhole(int32_t id) { whole_[static_cast<size_t>(id)] = true; }

std::optional<int32_t> Vocabulary::FindWhole(std::string_view bytes) const {
  const Slot* slot = FindSlot(bytes);
  if (slot == nullptr || !whole_[static_cast<size_t>(slot->id)]) return std::nullopt;
  return slot->id;
}

}  // namespace fulmen
