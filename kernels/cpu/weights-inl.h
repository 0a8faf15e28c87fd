// Weights of float types as arrays of their elements. Included once per instruction set.
#if defined(FULMEN_KERNELS_CPU_WEIGHTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef FULMEN_KERNELS_CPU_WEIGHTS_INL_H_
#undef FULMEN_KERNELS_CPU_WEIGHTS_INL_H_
#else
#define FULMEN_KERNELS_CPU_WEIGHTS_INL_H_
#endif

#include "base/check.h"
#include "base/weight_matrix.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {

// Row r of a weight of float32, float16 or bfloat16 elements begins at data + r * stride.
template <class T>
struct WeightElements {
  const T* data;
  int64_t stride;

  const T* row(int64_t r) const { return data + r * stride; }
};

template <class T>
WeightElements<T> ElementsOf(const WeightMatrix& weight) {
  return {reinterpret_cast<const T*>(weight.data), weight.stride / static_cast<int64_t>(sizeof(T))};
}

// Calls visit with the WeightElements of the type that the weight has. The one place that knows
// which types the kernels of this folder read.
template <class Visit>
void VisitElements(const WeightMatrix& weight, const Visit& visit) {
  FULMEN_CHECK(weight.layout == WeightLayout::kAsStored, "{} was repacked", Describe(weight));
  switch (weight.type) {
    case DType::kF32:
      return visit(ElementsOf<float>(weight));
    case DType::kF16:
      return visit(ElementsOf<hwy::float16_t>(weight));
    case DType::kBF16:
      return visit(ElementsOf<hwy::bfloat16_t>(weight));
    default:
      FULMEN_CHECK(false, "{} is no type of weights", DTypeName(weight.type));
  }
}

}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // FULMEN_KERNELS_CPU_WEIGHTS_INL_H_
