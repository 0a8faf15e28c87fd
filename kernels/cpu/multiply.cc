// Products with weights of every type, for every operation that has some.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/multiply.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include "kernels/cpu/multiply-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

void Multiply(const PackedRows& x, const TileRange& tiles, const WeightMatrix& weight, Matrix y) {
  if (IsQuantized(weight.type)) return MultiplyQuantized(x, tiles, weight, y);
  if (x.format == ActivationFormat::kBf16Parts) return MultiplyBf16Parts(x, tiles, weight, y);
  VisitElements(weight, [&]<class T>(const WeightElements<T>& elements) {
    MultiplyRows(x, tiles, WeightRows<T>{elements, weight.rows, weight.cols}, y);
  });
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
