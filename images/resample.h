// Bicubic resizing as Pillow 11 does it for 8 bits, to the byte: along rows first, rounded to
// bytes, then along columns; an axis that keeps its length is left alone. When shrinking, the
// filter spreads over what a pixel of the result covers. Weights are doubles rounded to 22 bits
// behind the point, sums are whole numbers.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/matrix.h"
#include "base/status.h"
#include "images/image.h"

namespace fulmen {

// Writes all of `image` into `out`: a row of it has the 3 * width bytes of a row of the result.
// `image` and `out` do not overlap, and neither is empty. Holds the rows under way beside them, not
// a whole picture. Any number of threads may call at once.
using ResizeFunction = void (*)(const Image& image, MatrixView<uint8_t> out);

// As plainly as possible: the specification.
void ResizePlainly(const Image& image, MatrixView<uint8_t> out);
// The same bytes faster. `target` is one of cpu::Targets().
Result<ResizeFunction> ResizeFor(std::string_view target);
// For the instruction set that the kernels run with (FULMEN_CPU_TARGET), whose choice may fail.
Status Resize(const Image& image, MatrixView<uint8_t> out);

}  // namespace fulmen
