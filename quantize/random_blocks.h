// Random blocks of the quantized types, as fast as random bytes: nothing is searched for.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace fulmen {

// Blocks whose weights have about the mean 0 and the given deviation: their integers are random,
// their steps all the same. As FillRandom() (model/synth.h), element i of a stream depends on
// nothing but `stream` and i, and `first` is a multiple of kRandomBlock; `count` is whole blocks.
void FillRandomBlocks(DType type, uint64_t stream, int64_t first, int64_t count, float deviation,
                      std::byte* out);

}  // namespace fulmen
