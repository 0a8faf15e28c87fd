// A few small problems with known answers, run once at start-up: a broken build or machine is found
// before it answers anybody.
#pragma once

#include "kernels/kernels.h"

namespace fulmen {

// Every operation of `kernels` against RefKernels().
Status SelfCheck(const Kernels& kernels);

}  // namespace fulmen
