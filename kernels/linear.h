// y = x W^T, the product every projection, the router and the head are made of.
#pragma once

#include <cstddef>
#include <initializer_list>

#include "base/matrix.h"
#include "base/weight_matrix.h"
#include "kernels/context.h"

namespace fulmen {

// y = x weight^T: weight [out, in], y [T, out].
struct Projection {
  WeightMatrix weight;
  Matrix y;
};

// All of the products, which share x [T, in]; they may differ in `out` and in the type of the
// weight. Every y is float32 and overwritten, and overlaps neither x nor another.
//
// Elements of float types are widened and never rounded further. Where the weight is quantized, x
// may be rounded to 8 bits: in each block of columns, as many as the weight's blocks have, to the
// nearest multiple of max |x| / 127. `ref` does not; `cpu` does, and sums the products of integers
// exactly.
//
// Sums run along `in` in an order that depends neither on T nor on the other products, so a token's
// result has the same bits however a prompt is cut into chunks, and for any number of threads.
using LinearFn = void (*)(KernelContext&, ConstMatrix x,
                          std::initializer_list<Projection> projections);

// A device may multiply faster with weights in a layout of its own: the bytes that `weight`, as
// stored, takes there, or 0 where the device has none for its type.
using RepackedBytesFn = size_t (*)(KernelContext&, const WeightMatrix& weight);
// Writes that many bytes to `to`, aligned to 64, and returns the same weight there. Products with
// it have the same bits.
using RepackFn = WeightMatrix (*)(KernelContext&, const WeightMatrix& weight, std::byte* to);

// dx = dy W, or dx += dy W with `add`: the gradient of linear with respect to x. dy [T, out],
// weight [out, in], dx [T, in].
using LinearBackwardInputFn = void (*)(KernelContext&, ConstMatrix dy, const WeightMatrix& weight,
                                       bool add, Matrix dx);

// dweight += dy^T x: the gradient of linear with respect to W. x [T, in], dy [T, out], dweight
// [out, in].
using LinearBackwardWeightFn = void (*)(KernelContext&, ConstMatrix x, ConstMatrix dy,
                                        Matrix dweight);

}  // namespace fulmen
