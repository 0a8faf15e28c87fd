// Small problems run once at start-up: a broken build or machine is found before it answers
// anybody or spoils a model.
#pragma once

#include <string_view>

#include "kernels/kernels.h"
#include "kernels/training_kernels.h"

namespace fulmen {

// Every operation of `kernels` against RefKernels().
Status SelfCheck(const Kernels& kernels);

// Every operation of `kernels`, which messages call `name`, against RefTrainingKernels(precision).
Status SelfCheck(const TrainingKernels& kernels, Precision precision, std::string_view name);

}  // namespace fulmen
