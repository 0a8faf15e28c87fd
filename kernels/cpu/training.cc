#include <fmt/ranges.h>
#include <hwy/highway.h>

#include "kernels/cpu/register_training.h"
#include "kernels/cpu/targets.h"

namespace fulmen::cpu {

Result<TrainingKernels> TrainingKernelsFor(std::string_view target, Precision precision) {
  for (const int64_t bit : hwy::SupportedAndGeneratedTargets()) {
    if (target != hwy::TargetName(bit)) continue;
    const ScopedTarget scope(bit);
    TrainingKernels kernels = RefTrainingKernels(precision);
    RegisterAttentionBackward(kernels);
    RegisterElementwiseBackward(kernels);
    RegisterRouterBackward(kernels);
    RegisterAdamW(kernels);
    RegisterProductsBackward(kernels, precision);
    RegisterMoeTraining(kernels, precision);
    RegisterMoeBackward(kernels, precision);
    RegisterCrossEntropy(kernels, precision);
    return kernels;
  }
  return Fail(ErrorCode::kUnsupported,
              "the CPU target must be one of {} on this machine, but it is \"{}\"",
              fmt::join(Targets(), ", "), target);
}

}  // namespace fulmen::cpu
