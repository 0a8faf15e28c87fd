// The operations as built for each instruction set.
#pragma once

#include <string_view>

#include "base/cpu_targets.h"
#include "kernels/kernels.h"
#include "kernels/training_kernels.h"

namespace fulmen::cpu {

// For one of Targets(), not yet checked against `ref`.
Result<Kernels> KernelsFor(std::string_view target);
Result<TrainingKernels> TrainingKernelsFor(std::string_view target,
                                           Precision precision = Precision::kFloat32);

}  // namespace fulmen::cpu
