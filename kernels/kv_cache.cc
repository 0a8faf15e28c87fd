#include "kernels/kv_cache.h"

#include <algorithm>

#include "base/check.h"

namespace fulmen {

size_t KvFormat::HalfTileBytes() const {
  const auto elements = static_cast<size_t>(kKvTile * head_dim);
  if (type != DType::kQ8_0) return elements * DTypeSize(type);
  return elements + elements / kKvGroup * sizeof(uint16_t);
}

size_t KvFormat::BytesOfTokens(int64_t tokens) const {
  return static_cast<size_t>(tokens / kKvTile * kv_heads) * 2 * HalfTileBytes();
}

bool IsKvType(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16 || type == DType::kQ8_0;
}

Status CheckKvType(DType type, int64_t head_dim) {
  if (type == DType::kQ8_0 && head_dim % kKvGroup != 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "keys and values in Q8_0 need heads of a multiple of {}, found head_dim {}",
                kKvGroup, head_dim);
  }
  return {};
}

std::byte* KvCache::Keys(int64_t slice, int64_t position, int64_t kv_head) const {
  std::byte* page =
      pages[static_cast<size_t>(slice)][static_cast<size_t>(position / page_tokens)] + offset;
  const int64_t tile = position % page_tokens / kKvTile * format.kv_heads + kv_head;
  return page + static_cast<size_t>(2 * tile) * format.HalfTileBytes();
}

BatchKv::BatchKv(Workspace& scratch, const KvFormat& format, const Slices& slices) {
  int64_t longest = kKvTile;
  for (int64_t s = 0; s < slices.count(); ++s) {
    const int64_t tokens = (slices.rows(s) + kKvTile - 1) / kKvTile * kKvTile;
    longest = std::max(longest, tokens);
    memory_.push_back(
        scratch.Allocate<std::byte>(static_cast<int64_t>(format.BytesOfTokens(tokens))));
  }
  for (std::byte*& page : memory_) pages_.emplace_back(&page, 1);
  cache_ = {.pages = pages_, .page_tokens = longest, .offset = 0, .format = format};
}

void CheckKvCache(const KvCache& cache, const Slices& slices) {
  FULMEN_CHECK(cache.format.head_dim > 0 && cache.format.kv_heads > 0 &&
                   IsKvType(cache.format.type) && cache.page_tokens > 0 &&
                   cache.page_tokens % kKvTile == 0,
               "pages of {} tokens of {} KV heads of {} in {}", cache.page_tokens,
               cache.format.kv_heads, cache.format.head_dim, DTypeName(cache.format.type));
  FULMEN_CHECK(static_cast<int64_t>(cache.pages.size()) == slices.count(),
               "{} sequences of pages for {} slices", cache.pages.size(), slices.count());
  for (int64_t s = 0; s < slices.count(); ++s) {
    const auto pages = static_cast<int64_t>(cache.pages[static_cast<size_t>(s)].size());
    FULMEN_CHECK((slices.end(s) + cache.page_tokens - 1) / cache.page_tokens <= pages,
                 "slice {} ends at position {}, with {} pages of {}", s, slices.end(s), pages,
                 cache.page_tokens);
  }
}

}  // namespace fulmen
