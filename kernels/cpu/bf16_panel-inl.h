// BF16 weights as AMX multiplies them. Included once per instruction set.
//
// A panel is PanelRows() rows, two tiles side by side; a block of it kBf16Columns columns:
// [kBf16Columns / 2][PanelRows()][2] elements. Repacked weights are panel after panel and in each
// of them block after block, padded with zeros to whole blocks; the last row stands for those
// behind it.
#if defined(FULMEN_KERNELS_CPU_BF16_PANEL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_BF16_PANEL_INL_H_
#undef FULMEN_KERNELS_CPU_BF16_PANEL_INL_H_
#else
#define FULMEN_KERNELS_CPU_BF16_PANEL_INL_H_
#endif

#include <algorithm>
#include <cstring>

#include "kernels/cpu/panel-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

constexpr int64_t kBf16RowBytes = 2 * kBf16Columns;  // of a block
HWY_INLINE int64_t Bf16BlockBytes() { return PanelRows() * kBf16RowBytes; }

// Block `block` of the rows of a panel; what lies `ahead` bytes further on is fetched meanwhile.
inline void GatherBf16Block(const StoredRows& stored, int64_t cols, int64_t block, int64_t ahead,
                            std::byte* to) {
  const int64_t bytes = std::min(kBf16RowBytes, 2 * cols - block * kBf16RowBytes);
  HWY_ALIGN std::byte padded[kMostPanelRows][kBf16RowBytes];
  const std::byte* rows[kMostPanelRows];
  for (int64_t r = 0; r < PanelRows(); ++r) {
    rows[r] = stored.rows[r] + block * kBf16RowBytes;
    FetchLine(rows[r] + ahead);
    if (bytes == kBf16RowBytes) continue;
    std::memset(padded[r], 0, sizeof(padded[r]));
    std::memcpy(padded[r], rows[r], static_cast<size_t>(bytes));
    rows[r] = padded[r];
  }
  TransposeWords<kBf16RowBytes / 4>(rows, reinterpret_cast<int32_t*>(to));
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_BF16_PANEL_INL_H_
