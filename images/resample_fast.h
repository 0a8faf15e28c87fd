// Between resample.cc and the file that is compiled once per instruction set.
#pragma once

#include "images/resample.h"

namespace fulmen {

// Of the instruction set that Highway would dispatch to now.
ResizeFunction FastResize();

// The contract of ResizeFunction.
void CheckResize(const Image& image, std::span<const MatrixView<uint8_t>> outs);

}  // namespace fulmen
