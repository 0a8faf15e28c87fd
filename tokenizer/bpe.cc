#include "tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <queue>

#include "tokenizer/hash.h"

namespace fulmen {
namespace {

constexpr size_t kShortPiece = 64;
constexpr int kPositionBits = 40;  // of a queue entry; the rank lies above

uint64_t PairOf(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

}  // namespace

Result<Bpe> Bpe::Build(Vocabulary vocabulary,
                       const std::vector<std::pair<std::string, std::string>>& merges,
                       bool ignore_merges, const std::string& where) {
  Bpe bpe;
  bpe.vocabulary_ = std::move(vocabulary);
  for (size_t byte = 0; byte < 256; ++byte) {
    const char text = static_cast<char>(byte);
    const auto id = bpe.vocabulary_.Find({&text, 1});
    if (!id) {
      return Fail(ErrorCode::kUnsupported,
                  "{}: a byte-level vocabulary with a token for each of the 256 bytes is expected; "
                  "byte 0x{:02x} has none",
                  where, byte);
    }
    bpe.byte_ids_[byte] = *id;
  }
  bpe.unmade_.resize(static_cast<size_t>(bpe.vocabulary_.size()));
  for (int32_t id = 0; id < bpe.vocabulary_.size(); ++id) {
    bpe.unmade_[static_cast<size_t>(id)] = bpe.vocabulary_.Bytes(id).has_value();
  }
  for (const int32_t id : bpe.byte_ids_) bpe.unmade_[static_cast<size_t>(id)] = false;
  FULMEN_TRY(bpe.AddMerges(merges, where));
  bpe.MarkWholeTokens(ignore_merges);
  return bpe;
}

Status Bpe::AddMerges(const std::vector<std::pair<std::string, std::string>>& merges,
                      const std::string& where) {
  if (merges.size() >= (size_t{1} << (64 - kPositionBits))) {
    return Fail(ErrorCode::kUnsupported, "{}: {} merges; at most {} are supported", where,
                merges.size(), (size_t{1} << (64 - kPositionBits)) - 1);
  }
  merges_.resize(std::bit_ceil(merges.size() * 2 + 1));
  std::string joined;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    joined.assign(left).append(right);
    const auto left_id = vocabulary_.Find(left);
    const auto right_id = vocabulary_.Find(right);
    const auto id = vocabulary_.Find(joined);
    if (!left_id || !right_id || !id) {
      return Fail(ErrorCode::kCorrupt, "{}: merge {} uses '{}', which is not in the vocabulary",
                  where, rank,
                  !left_id    ? left
                  : !right_id ? right
                              : joined);
    }
    const uint64_t pair = PairOf(*left_id, *right_id);
    size_t i = MixHash(pair) & (merges_.size() - 1);
    while (merges_[i].rank != kNoRank && merges_[i].pair != pair) {
      i = (i + 1) & (merges_.size() - 1);
    }
    merges_[i] = {pair, static_cast<uint32_t>(rank), *id};
    unmade_[static_cast<size_t>(*id)] = false;
  }
  return {};
}

void Bpe::MarkWholeTokens(bool ignore_merges) {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    const auto bytes = vocabulary_.Bytes(id);
    if (!bytes || bytes->empty()) continue;
    ids.clear();
    if (!ignore_merges) EncodeByMerging(*bytes, ids);
    if (ignore_merges || (ids.size() == 1 && ids[0] == id)) vocabulary_.MarkWhole(id);
  }
}

std::vector<std::pair<int32_t, int32_t>> Bpe::Merges() const {
  std::vector<Merge> merges;
  for (const Merge& merge : merges_) {
    if (merge.rank != kNoRank) merges.push_back(merge);
  }
  std::sort(merges.begin(), merges.end(),
            [](const Merge& a, const Merge& b) { return a.rank < b.rank; });
  std::vector<std::pair<int32_t, int32_t>> pairs;
  pairs.reserve(merges.size());
  for (const Merge& merge : merges) {
    pairs.emplace_back(static_cast<int32_t>(merge.pair >> 32),
                       static_cast<int32_t>(merge.pair & UINT32_MAX));
  }
  return pairs;
}

bool Bpe::Rename(int32_t id, std::string_view bytes) {
  const auto index = static_cast<size_t>(id);
  if (index >= unmade_.size() || !unmade_[index]) return false;
  unmade_[index] = false;
  vocabulary_.Rename(id, bytes);
  return true;
}

inline const Bpe::Merge& Bpe::FindMerge(int32_t left, int32_t right) const {
  const uint64_t pair = PairOf(left, right);
  size_t i = MixHash(pair) & (merges_.size() - 1);
  while (merges_[i].pair != pair && merges_[i].rank != kNoRank) {
    i = (i + 1) & (merges_.size() - 1);
  }
  return merges_[i];
}

void Bpe::Encode(std::string_view piece, std::vector<int32_t>& ids) const {
  if (const auto id = vocabulary_.FindWhole(piece)) {
    ids.push_back(*id);
  } else {
    EncodeByMerging(piece, ids);
  }
}

void Bpe::EncodeByMerging(std::string_view piece, std::vector<int32_t>& ids) const {
  if (piece.size() <= kShortPiece) {
    MergeShort(piece, ids);
  } else {
    MergeLong(piece, ids);
  }
}

void Bpe::MergeShort(std::string_view piece, std::vector<int32_t>& ids) const {
  std::array<int32_t, kShortPiece> symbols;
  std::array<Merge, kShortPiece> merges;  // merges[i] joins symbols i and i + 1
  size_t count = piece.size();
  for (size_t i = 0; i < count; ++i) symbols[i] = byte_ids_[static_cast<uint8_t>(piece[i])];
  for (size_t i = 0; i + 1 < count; ++i) merges[i] = FindMerge(symbols[i], symbols[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == kNoRank) break;
    symbols[best] = merges[best].id;
    for (size_t i = best + 1; i + 1 < count; ++i) {
      symbols[i] = symbols[i + 1];
      merges[i] = merges[i + 1];
    }
    --count;
    if (best > 0) merges[best - 1] = FindMerge(symbols[best - 1], symbols[best]);
    if (best + 1 < count) merges[best] = FindMerge(symbols[best], symbols[best + 1]);
  }
  ids.insert(ids.end(), symbols.begin(), symbols.begin() + static_cast<ptrdiff_t>(count));
}

void Bpe::MergeLong(std::string_view piece, std::vector<int32_t>& ids) const {
  struct Symbol {
    int32_t id;  // -1: merged into its left neighbour
    size_t previous;
    size_t next;
  };
  const size_t count = piece.size();
  std::vector<Symbol> symbols(count);
  // Rank, then position, in one number; entries that a merge overtook are skipped when they come
  // up, which their rank shows.
  std::vector<uint64_t> heap;
  heap.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    symbols[i] = {byte_ids_[static_cast<uint8_t>(piece[i])], i - 1, i + 1};
  }
  const auto entry_at = [&](size_t i) -> uint64_t {
    const uint32_t rank = FindMerge(symbols[i].id, symbols[symbols[i].next].id).rank;
    return rank == kNoRank ? ~uint64_t{0} : uint64_t{rank} << kPositionBits | i;
  };
  for (size_t i = 0; i + 1 < count; ++i) {
    if (const uint64_t entry = entry_at(i); entry != ~uint64_t{0}) heap.push_back(entry);
  }
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> queue({}, std::move(heap));
  while (!queue.empty()) {
    const size_t i = queue.top() & ((uint64_t{1} << kPositionBits) - 1);
    const auto rank = static_cast<uint32_t>(queue.top() >> kPositionBits);
    queue.pop();
    Symbol& left = symbols[i];
    if (left.id < 0 || left.next == count) continue;
    Symbol& right = symbols[left.next];
    const Merge& merge = FindMerge(left.id, right.id);
    if (merge.rank != rank) continue;
    left.id = merge.id;
    left.next = right.next;
    right.id = -1;
    if (left.next != count) {
      symbols[left.next].previous = i;
      if (const uint64_t entry = entry_at(i); entry != ~uint64_t{0}) queue.push(entry);
    }
    if (i != 0) {
      if (const uint64_t entry = entry_at(left.previous); entry != ~uint64_t{0}) queue.push(entry);
    }
  }
  for (size_t i = 0; i < count; i = symbols[i].next) ids.push_back(symbols[i].id);
}

}  // namespace fulmen
