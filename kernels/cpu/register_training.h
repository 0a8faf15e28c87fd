// As register.h, for the operations of training. A table starts as a copy of the ref operations;
// each function overwrites those it has for the instruction set in force.
#pragma once

#include <string_view>

#include "kernels/training.h"

namespace fulmen::cpu {

void RegisterAttentionBackward(TrainingKernels& kernels);
// Parts of the above, from files of their own.
void RegisterSoftmaxAttentionPacked(TrainingKernels& kernels);
void RegisterSoftmaxAttentionBackward(TrainingKernels& kernels);
void RegisterProductsBackward(TrainingKernels& kernels, Precision precision);
void RegisterMoeTraining(TrainingKernels& kernels, Precision precision);
void RegisterMoeBackward(TrainingKernels& kernels, Precision precision);
void RegisterCrossEntropy(TrainingKernels& kernels, Precision precision);
void RegisterElementwiseBackward(TrainingKernels& kernels);
void RegisterRouterBackward(TrainingKernels& kernels);
void RegisterAdamW(TrainingKernels& kernels);

// The operations as built for `target`, one of Targets().
Result<TrainingKernels> TrainingKernelsFor(std::string_view target,
                                           Precision precision = Precision::kFloat32);

}  // namespace fulmen::cpu
