// The ranks of an MPI program. Internal to parallel/.
#pragma once

#include <memory>

#include "parallel/communicator.h"

namespace fulmen {

// Starts MPI; call once per process.
Result<std::unique_ptr<Communicator>> OpenMpi();

}  // namespace fulmen
