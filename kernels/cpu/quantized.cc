// Products with quantized weights, for every operation that has some: compiled once, for they take
// the compiler long.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/quantized.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include "kernels/cpu/multiply-inl.h"
#include "kernels/cpu/quantized-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

void MultiplyQuantized(const PackedRows& x, const TileRange& tiles, const WeightMatrix& weight,
                       Matrix y) {
  VisitProducts(x.products, [&]<ByteProducts kProducts>() {
    VisitBlocks(weight.type, [&]<class Block>(const Block*) {
      for (int64_t tile = tiles.begin; tile < tiles.end; tile += kPanelTiles) {
        MultiplyPanels<ProductTraits<Block, kProducts>>(
            x, {tile, std::min(tile + kPanelTiles, tiles.end)}, weight, y);
      }
    });
  });
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
