// What a device gives to those who compute on it: one thing to carry through every signature.
#pragma once

#include "kernels/context.h"
#include "kernels/kernels.h"
#include "kernels/training_kernels.h"

namespace fulmen {

// Cheap to copy; what it refers to must outlive it.
struct Compute {
  const Kernels& kernels;
  const TrainingKernels* training;  // null for inference alone
  KernelContext& context;

  Compute(const Kernels& inference, KernelContext& context_)
      : kernels(inference), training(nullptr), context(context_) {}
  // The forward pass takes the operations of training, too.
  Compute(const TrainingKernels& all, KernelContext& context_)
      : kernels(all.forward), training(&all), context(context_) {}
};

}  // namespace fulmen
