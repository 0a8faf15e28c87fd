// As register.h, for the operations of training.
#pragma once

#include "kernels/training_kernels.h"

namespace fulmen::cpu {

void RegisterLightningAttentionBackward(TrainingKernels& kernels);
void RegisterSoftmaxAttentionBackward(TrainingKernels& kernels);
void RegisterLinearBackward(TrainingKernels& kernels, Precision precision);
void RegisterMoeTraining(TrainingKernels& kernels, Precision precision);
void RegisterMoeBackward(TrainingKernels& kernels, Precision precision);
void RegisterCrossEntropy(TrainingKernels& kernels, Precision precision);
void RegisterElementwiseBackward(TrainingKernels& kernels);
void RegisterRouterBackward(TrainingKernels& kernels);
void RegisterAdamW(TrainingKernels& kernels);

}  // namespace fulmen::cpu
