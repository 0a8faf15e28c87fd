// y = x W^T, the product every projection, the router and the head are made of.
#pragma once

#include "base/tensor.h"
#include "kernels/context.h"

namespace fulmen {

// x [T, in] float32, weight [out, in] F32, F16 or BF16 (widened in registers, never rounded
// further), y [T, out] float32, overwritten. Sums run in float32 lanes along `in` whose order does
// not depend on T, so a token's result has the same bits however a prompt is cut into chunks, and
// for any number of threads. y must not overlap x.
using LinearFn = void (*)(KernelContext&, ConstMatrix x, const TensorView& weight, Matrix y);

// dx = dy W, or dx += dy W with `add`: the gradient of linear with respect to x. dy [T, out],
// weight [out, in], dx [T, in].
using LinearBackwardInputFn = void (*)(KernelContext&, ConstMatrix dy, const TensorView& weight,
                                       bool add, Matrix dx);

// dweight += dy^T x: the gradient of linear with respect to W. x [T, in], dy [T, out], dweight
// [out, in].
using LinearBackwardWeightFn = void (*)(KernelContext&, ConstMatrix x, ConstMatrix dy,
                                        Matrix dweight);

}  // namespace fulmen
