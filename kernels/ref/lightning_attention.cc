#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ref/operations.h"

namespace fulmen::ref {
namespace {

// One head: q | k | v in `qkv` [T, 3 * dim], state [dim, dim], out [T, dim].
void Head(ConstMatrix qkv, double decay, Matrix state, Matrix out) {
  const int64_t dim = state.cols;
  const double keep = std::exp(-decay);
  std::vector<double> s(static_cast<size_t>(dim * dim));
  std::vector<double> o(static_cast<size_t>(dim));
  for (int64_t d = 0; d < dim; ++d) {
    std::copy_n(state.row(d), dim, s.begin() + d * dim);
  }
  for (int64_t t = 0; t < qkv.rows; ++t) {
    const float* q = qkv.row(t);
    const float* k = q + dim;
    const float* v = k + dim;
    std::fill(o.begin(), o.end(), 0.0);
    for (int64_t d = 0; d < dim; ++d) {
      double* row = &s[static_cast<size_t>(d * dim)];
      const double key = k[d];
      const double query = q[d];
      for (int64_t e = 0; e < dim; ++e) {
        row[e] = keep * row[e] + key * v[e];
        o[static_cast<size_t>(e)] += query * row[e];
      }
    }
    for (int64_t e = 0; e < dim; ++e) {
      out.row(t)[e] = static_cast<float>(o[static_cast<size_t>(e)]);
    }
  }
  for (int64_t d = 0; d < dim; ++d) {
    for (int64_t e = 0; e < dim; ++e) {
      state.row(d)[e] = static_cast<float>(s[static_cast<size_t>(d * dim + e)]);
    }
  }
}

}  // namespace

void LightningAttention(KernelContext&, ConstMatrix qkv, std::span<const float> decay, Matrix state,
                        Matrix out) {
  const int64_t heads = static_cast<int64_t>(decay.size());
  const int64_t dim = state.cols;
  FULMEN_CHECK(qkv.cols == heads * 3 * dim && state.rows == heads * dim &&
                   out.cols == heads * dim && out.rows == qkv.rows,
               "qkv is [{}, {}], state [{}, {}], out [{}, {}] for {} heads", qkv.rows, qkv.cols,
               state.rows, state.cols, out.rows, out.cols, heads);
  for (int64_t h = 0; h < heads; ++h) {
    Head(qkv.Cols(h * 3 * dim, 3 * dim), decay[static_cast<size_t>(h)], state.Rows(h * dim, dim),
         out.Cols(h * dim, dim));
  }
}

}  // namespace fulmen::ref
