// Rotary position embedding. Su et al., "RoFormer" (2021), section 3.2; on part of each head as in
// the MiniMax-01 report, section 2.
#pragma once

#include <cstdint>
#include <span>

#include "base/matrix.h"
#include "kernels/context.h"

namespace fulmen {

// Rotates the first `rotary_dim` channels of every head in place, pairing channel i with
// i + rotary_dim/2 ("rotate half"). x [T, heads * head_dim]; positions [T]; the angle of pair i at
// position p is p * inverse_frequencies[i], with rotary_dim/2 frequencies. Angles, sines and
// cosines are computed as float32 products of float32 values, as the reference implementations do.
using RopeFn = void (*)(KernelContext&, std::span<const int64_t> positions,
                        std::span<const float> inverse_frequencies, int64_t head_dim, Matrix x);

}  // namespace fulmen
