// Weights in the layout that a device multiplies fastest with.
#pragma once

#include <cstddef>
#include <functional>

#include "kernels/compute.h"
#include "model/weights.h"

namespace fulmen {

// Bytes that RepackWeights would take.
size_t RepackedBytes(const Model& model, const Compute& compute);

// Moves every weight that the device of `compute` has a layout for, the head included, into memory
// of the model's own; the embedding, whose rows are looked up, stays. Pages of files that were read
// are returned one weight after another. From then on the model computes with this device alone.
// `progress` gets the bytes of each. Throws std::bad_alloc.
void RepackWeights(Model& model, const Compute& compute,
                   const std::function<void(size_t)>& progress);

}  // namespace fulmen
