// Products of few rows of x with quantized weights, which are multiplied as they are unpacked.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/one_tile.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include "kernels/cpu/lane_products-inl.h"
#include "kernels/cpu/multiply-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

namespace {

template <class Traits, int kRows>
HWY_NOINLINE void MultiplyRows(const Int8Tile& x, const WeightMatrix& weight, Matrix y) {
  using Block = typename Traits::Block;
  const Floats d;
  HWY_ALIGN float sums[kRows * kMostPanelRows];
  for (int64_t row = 0; row < weight.rows; row += PanelRows()) {
    PanelBlocks<Block> blocks(weight, row);
    std::fill_n(sums, kRows * PanelRows(), 0.0F);
    for (int64_t b = 0; b < weight.cols / Traits::kBlock; ++b) {
      const PanelBlock<Block> block = blocks.At(b);
      for (int64_t v = 0; v < kPanelVecs; ++v) {
        LaneProducts<Traits, kRows> products(x, b * Traits::kBlock);
        Unpack(static_cast<const Block*>(nullptr), block.Lanes(v, blocks.ahead()), products);
        HWY_UNROLL(8)
        for (int r = 0; r < kRows; ++r) {
          float* sum = sums + Panel::At(r, v);
          const FloatsV step = hn::Set(d, x.steps[b * kRows + r]);
          hn::Store(hn::MulAdd(step, products.Result(r), hn::Load(d, sum)), d, sum);
        }
      }
    }
    StorePanel(sums, y.Cols(row, std::min(PanelRows(), weight.rows - row)));
  }
}

template <class Traits>
void MultiplyTile(const Int8Tile& x, const WeightMatrix& weight, Matrix y) {
  if (x.rows == 1) return MultiplyRows<Traits, 1>(x, weight, y);
  if (x.rows == 2) return MultiplyRows<Traits, 2>(x, weight, y);
  if constexpr (Traits::kMostOneTileRows == kTileRows) {
    if (x.rows == 3) return MultiplyRows<Traits, 3>(x, weight, y);
#if HWY_CAP_GE512
    if (x.rows == 4) return MultiplyRows<Traits, 4>(x, weight, y);
    if (x.rows == 5) return MultiplyRows<Traits, 5>(x, weight, y);
    if (x.rows == 6) return MultiplyRows<Traits, 6>(x, weight, y);
#endif
  }
  FULMEN_CHECK(false, "{} rows", x.rows);
}

}  // namespace

void MultiplyOneTile(const PackedRows& x, const WeightMatrix& weight, Matrix y) {
  VisitProducts(x.products, [&]<ByteProducts kProducts>() {
    constexpr ByteProducts kHow =
        kProducts == ByteProducts::kTiles ? ByteProducts::kFours : kProducts;
    VisitBlocks(weight.type, [&]<class Block>(const Block*) {
      MultiplyTile<ProductTraits<Block, kHow>>(x.QuantizedTile(0), weight, y);
    });
  });
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
