// The half of Multiply (multiply.cc) for quantized weights.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/quantized.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/multiply-inl.h"
#include "kernels/cpu/quantized-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

namespace {

template <class Traits>
void MultiplyAll(const PackedRows& x, const TileRange& tiles, const WeightMatrix& weight,
                 Matrix y) {
  if constexpr (Traits::kProducts != ByteProducts::kTiles) {
    if (x.rows <= Traits::kMostOneTileRows) return MultiplyOneTile(x, weight, y);
  }
  const int64_t most = kMostSumRows / x.TileRows();
  for (int64_t tile = tiles.begin; tile < tiles.end; tile += most) {
    MultiplyPanels<Traits>(x, {tile, std::min(tile + most, tiles.end)}, weight, y);
  }
}

}  // namespace

void MultiplyQuantized(const PackedRows& x, const TileRange& tiles, const WeightMatrix& weight,
                       Matrix y) {
  VisitProducts(x.products, [&]<ByteProducts kProducts>() {
    VisitBlocks(weight.type, [&]<class Block>(const Block*) {
      if constexpr (kProducts != ByteProducts::kTiles) {
        MultiplyAll<ProductTraits<Block, kProducts>>(x, tiles, weight, y);
      } else if constexpr (BlockTraits<Block>::kWholeScales) {
        if (!x.ForAmx()) {
          return MultiplyAll<ProductTraits<Block, ByteProducts::kFours>>(x, tiles, weight, y);
        }
        const AmxTiles registers;
        MultiplyAll<ProductTraits<Block, kProducts>>(x, tiles, weight, y);
      } else {
        MultiplyAll<ProductTraits<Block, ByteProducts::kFours>>(x, tiles, weight, y);
      }
    });
  });
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
