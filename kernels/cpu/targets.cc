#include "kernels/cpu/targets.h"

#include <fmt/core.h>

#include "kernels/cpu/register.h"
#include "kernels/cpu/register_training.h"
#include "kernels/operations.h"

namespace fulmen::cpu {

namespace {

ByteProducts ProductsOf(TargetExtension extension) {
  switch (extension) {
    case TargetExtension::kAmx:
      return ByteProducts::kTiles;
    case TargetExtension::kAvxVnni:
    case TargetExtension::kDotProd:
      return ByteProducts::kFours;
    case TargetExtension::kNone:
      break;
  }
  return ByteProducts::kPairs;  // or what the instruction set has by itself
}

}  // namespace

Result<Kernels> KernelsFor(std::string_view target) {
  FULMEN_ASSIGN(const Target found, FindTarget(target));
  const ScopedTarget scope(found.bit);
  const ByteProducts products = ProductsOf(found.extension);
  Kernels kernels;
  kernels.name = fmt::format("cpu ({})", target);
  RegisterElementwise(kernels);
  RegisterLinear(kernels, products);
  RegisterRepack(kernels, products);
  RegisterMoe(kernels, products);
  RegisterRope(kernels);
  RegisterLightningAttention(kernels);
  RegisterKvCache(kernels);
  RegisterSoftmaxAttention(kernels);
  RegisterBidirectionalAttention(kernels);
  RegisterRouter(kernels);
  CheckComplete(kernels, kernels.name);
  return kernels;
}

Result<TrainingKernels> TrainingKernelsFor(std::string_view target, Precision precision) {
  FULMEN_ASSIGN(const Target found, FindTarget(target));
  TrainingKernels kernels;
  FULMEN_ASSIGN(kernels.forward, KernelsFor(target));
  const ScopedTarget scope(found.bit);
  RegisterLightningAttentionBackward(kernels);
  RegisterSoftmaxAttentionBackward(kernels);
  RegisterElementwiseBackward(kernels);
  RegisterRouterBackward(kernels);
  RegisterAdamW(kernels);
  RegisterLinearBackward(kernels, precision);
  RegisterMoeTraining(kernels, precision);
  RegisterMoeBackward(kernels, precision);
  RegisterCrossEntropy(kernels, precision);
  CheckComplete(kernels, fmt::format("cpu ({}) training", target));
  return kernels;
}

}  // namespace fulmen::cpu
