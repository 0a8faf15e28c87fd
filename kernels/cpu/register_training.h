// As register.h, for the operations of training.
#pragma once

#include <string_view>

#include "kernels/training.h"

namespace fulmen::cpu {

void RegisterLightningAttentionBackward(TrainingKernels& kernels);
void RegisterSoftmaxAttentionBackward(TrainingKernels& kernels);
void RegisterProductsBackward(TrainingKernels& kernels, Precision precision);
void RegisterMoeTraining(TrainingKernels& kernels, Precision precision);
void RegisterMoeBackward(TrainingKernels& kernels, Precision precision);
void RegisterCrossEntropy(TrainingKernels& kernels, Precision precision);
void RegisterElementwiseBackward(TrainingKernels& kernels);
void RegisterRouterBackward(TrainingKernels& kernels);
void RegisterAdamW(TrainingKernels& kernels);

// The operations as built for `target`, one of Targets(), not yet checked against `ref`.
Result<TrainingKernels> TrainingKernelsFor(std::string_view target,
                                           Precision precision = Precision::kFloat32);

}  // namespace fulmen::cpu
