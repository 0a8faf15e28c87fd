#include <fmt/core.h>

#include "kernels/cpu/register_training.h"
#include "kernels/cpu/targets.h"
#include "kernels/operations.h"

namespace fulmen::cpu {

Result<TrainingKernels> TrainingKernelsFor(std::string_view target, Precision precision) {
  FULMEN_ASSIGN(const int64_t bit, TargetBit(target));
  TrainingKernels kernels;
  FULMEN_ASSIGN(kernels.forward, KernelsFor(target));
  const ScopedTarget scope(bit);
  RegisterLightningAttentionBackward(kernels);
  RegisterSoftmaxAttentionBackward(kernels);
  RegisterElementwiseBackward(kernels);
  RegisterRouterBackward(kernels);
  RegisterAdamW(kernels);
  RegisterProductsBackward(kernels, precision);
  RegisterMoeTraining(kernels, precision);
  RegisterMoeBackward(kernels, precision);
  RegisterCrossEntropy(kernels, precision);
  CheckComplete(kernels, fmt::format("cpu ({}) training", target));
  return kernels;
}

}  // namespace fulmen::cpu
