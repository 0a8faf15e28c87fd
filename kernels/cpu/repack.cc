#include <algorithm>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/register.h"
#include "kernels/linear.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/repack.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include "kernels/cpu/bf16_panel-inl.h"
#include "kernels/cpu/panel-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// Bytes of a row in the layout of a weight's type, which may be padded.
int64_t RepackedRowBytes(const WeightMatrix& weight) {
  const int64_t unit = weight.type == DType::kBF16 ? kBf16Columns : 1;
  return static_cast<int64_t>(BytesOf(weight.type, RoundUp(weight.cols, unit)));
}

// Elements of float types are read where they are, but those that AMX multiplies.
template <ByteProducts kProducts>
size_t RepackedBytes(KernelContext&, const WeightMatrix& weight) {
  const bool has_layout =
      IsQuantized(weight.type) || FormatFor(weight, kProducts) == ActivationFormat::kBf16Parts;
  if (!has_layout || weight.layout != WeightLayout::kAsStored) return 0;
  return static_cast<size_t>(RoundUp(weight.rows, PanelRows()) * RepackedRowBytes(weight));
}

template <class Block>
void RepackPanel(const WeightMatrix& weight, int64_t row, std::byte* to) {
  constexpr auto kBytes = static_cast<int64_t>(sizeof(Block));
  const StoredRows stored(weight, row);
  for (int64_t b = 0; b < weight.cols / BlockTraits<Block>::kBlock; ++b) {
    GatherBlock(stored, b, kAhead, PanelBlock<Block>{to + b * kBytes * PanelRows()});
  }
}

void RepackBf16Panel(const WeightMatrix& weight, int64_t row, std::byte* to) {
  const StoredRows stored(weight, row);
  for (int64_t b = 0; b < CeilDiv(weight.cols, kBf16Columns); ++b) {
    GatherBf16Block(stored, weight.cols, b, kAhead, to + b * Bf16BlockBytes());
  }
}

WeightMatrix Repack(KernelContext& context, const WeightMatrix& weight, std::byte* to) {
  WeightMatrix repacked(to, weight.type, weight.rows, weight.cols);
  repacked.layout = WeightLayout::kRepacked;
  repacked.stride = RepackedRowBytes(weight);
  const int64_t panels = CeilDiv(weight.rows, PanelRows());
  const auto node_of = [&](int64_t panel) {
    return context.pool.NodeOf(panel * PanelRows(), weight.rows);
  };
  const auto repack = [&](int64_t panel, int) HWY_ATTR {
    const Topology::MemoryOn memory(context.pool.topology(), node_of(panel));
    const int64_t row = panel * PanelRows();
    std::byte* panel_to = to + row * repacked.stride;
    if (weight.type == DType::kBF16) return RepackBf16Panel(weight, row, panel_to);
    VisitBlocks(weight.type, [&]<class Block>(const Block*)
                                 HWY_ATTR { RepackPanel<Block>(weight, row, panel_to); });
  };
  ForTasks(context.pool, panels, weight.rows * weight.cols, node_of, repack);
  return repacked;
}

void FillRepack(Kernels& kernels, ByteProducts products) {
  VisitProducts(products, [&]<ByteProducts kProducts>() {
    kernels.repacked_bytes = RepackedBytes<kProducts>;
  });
  kernels.repack = Repack;
}

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(FillRepack);
void RegisterRepack(Kernels& kernels, ByteProducts products) {
  HWY_DYNAMIC_DISPATCH(FillRepack)(kernels, products);
}

}  // namespace fulmen::cpu
#endif  // HWY_ONCE
