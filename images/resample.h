// Bicubic resizing as Pillow 11 does it for 8 bits, to the byte: along rows first, rounded to
// bytes, then along columns; an axis that keeps its length is left alone. When shrinking, the
// filter spreads over what a pixel of the result covers. Weights are doubles rounded to 22 bits
// behind the point, sums are whole numbers.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/matrix.h"
#include "base/status.h"
#include "images/image.h"

namespace fulmen {

// Writes `image` into each of `outs`, which may have different sizes: a row of an out has the
// 3 * width bytes of a row of the result. None of these overlap, and none is empty. Holds the rows
// under way beside them, not a whole picture. Returns the digest of `image`, on whose bytes it
// comes by. Any number of threads may call at once.
using ResizeFunction = ImageDigest (*)(const Image& image,
                                       std::span<const MatrixView<uint8_t>> outs);

// As plainly as possible: the specification. Does hold a whole picture.
ImageDigest ResizePlainly(const Image& image, std::span<const MatrixView<uint8_t>> outs);
// The same bytes faster. `target` is one of cpu::Targets().
Result<ResizeFunction> ResizeFor(std::string_view target);
// For the instruction set that the kernels run with (FULMEN_CPU_TARGET), whose choice may fail.
Result<ImageDigest> Resize(const Image& image, std::span<const MatrixView<uint8_t>> outs);

}  // namespace fulmen
