#include <algorithm>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/register.h"
#include "kernels/linear.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/repack.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include "kernels/cpu/panel-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// Of float types, elements are read where they are.
size_t RepackedBytes(KernelContext&, const WeightMatrix& weight) {
  if (!IsQuantized(weight.type) || weight.layout != WeightLayout::kAsStored) return 0;
  return static_cast<size_t>(RoundUp(weight.rows, PanelRows())) * BytesOf(weight.type, weight.cols);
}

template <class Block>
void RepackPanel(const WeightMatrix& weight, int64_t row, std::byte* to) {
  constexpr auto kBytes = static_cast<int64_t>(sizeof(Block));
  const StoredRows stored(weight, row);
  for (int64_t b = 0; b < weight.cols / BlockTraits<Block>::kBlock; ++b) {
    GatherBlock(stored, b, kAhead, PanelBlock<Block>{to + b * kBytes * PanelRows()});
  }
}

WeightMatrix Repack(KernelContext& context, const WeightMatrix& weight, std::byte* to) {
  WeightMatrix repacked(to, weight.type, weight.rows, weight.cols);
  repacked.layout = WeightLayout::kRepacked;
  const int64_t panels = CeilDiv(weight.rows, PanelRows());
  ForTasks(context.pool, panels, weight.rows * weight.cols, [&](int64_t panel, int) HWY_ATTR {
    const int64_t row = panel * PanelRows();
    VisitBlocks(weight.type, [&]<class Block>(const Block*) HWY_ATTR {
      RepackPanel<Block>(weight, row, to + row * repacked.stride);
    });
  });
  return repacked;
}

void FillRepack(Kernels& kernels) {
  kernels.repacked_bytes = RepackedBytes;
  kernels.repack = Repack;
}

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(FillRepack);
void RegisterRepack(Kernels& kernels) { HWY_DYNAMIC_DISPATCH(FillRepack)(kernels); }

}  // namespace fulmen::cpu
#endif  // HWY_ONCE
