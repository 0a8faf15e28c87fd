#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ref/operations.h"
#include "kernels/ref/training_operations.h"

namespace fulmen::ref {
namespace {

// One head of one document: q | k | v in `qkv` [T, 3 * dim], activated, and their gradients in
// `dqkv`, dout [T, dim].
void Head(ConstMatrix qkv, double decay, ConstMatrix dout, Matrix dqkv) {
  const int64_t dim = dout.cols;
  const double keep = std::exp(-decay);
  std::vector<double> state(static_cast<size_t>(dim * dim));  // S[d of k][e of v]
  for (int64_t t = 0; t < qkv.rows; ++t) {
    const float* k = qkv.row(t) + dim;
    const float* v = k + dim;
    for (int64_t d = 0; d < dim; ++d) {
      double* row = &state[static_cast<size_t>(d * dim)];
      const double key = k[d];
      double sum = 0.0;
      for (int64_t e = 0; e < dim; ++e) {
        row[e] = keep * row[e] + key * v[e];
        sum += row[e] * dout.row(t)[e];
      }
      dqkv.row(t)[d] = static_cast<float>(sum);
    }
  }
  // The gradient of the state after token t, from the end: each token adds q dout^T to it and reads
  // its own key's and value's gradients from it.
  std::vector<double> dv(static_cast<size_t>(dim));
  std::fill(state.begin(), state.end(), 0.0);
  for (int64_t t = qkv.rows - 1; t >= 0; --t) {
    const float* q = qkv.row(t);
    const float* k = q + dim;
    const float* v = k + dim;
    std::fill(dv.begin(), dv.end(), 0.0);
    for (int64_t d = 0; d < dim; ++d) {
      double* row = &state[static_cast<size_t>(d * dim)];
      const double query = q[d];
      const double key = k[d];
      double sum = 0.0;
      for (int64_t e = 0; e < dim; ++e) {
        row[e] = keep * row[e] + query * dout.row(t)[e];
        sum += row[e] * v[e];
        dv[static_cast<size_t>(e)] += row[e] * key;
      }
      dqkv.row(t)[dim + d] = static_cast<float>(sum);
    }
    for (int64_t e = 0; e < dim; ++e) {
      dqkv.row(t)[2 * dim + e] = static_cast<float>(dv[static_cast<size_t>(e)]);
    }
  }
}

void CheckBorders(std::span<const int64_t> starts, int64_t tokens) {
  FULMEN_CHECK(!starts.empty() && starts.front() == 0 && starts.back() == tokens &&
                   std::is_sorted(starts.begin(), starts.end()),
               "{} borders of documents must rise from 0 to {}", starts.size(), tokens);
}

// qkv after its activation.
class ActivatedRows {
 public:
  ActivatedRows(KernelContext& context, ConstMatrix qkv)
      : values_(static_cast<size_t>(qkv.rows * qkv.cols)),
        view_(values_.data(), qkv.rows, qkv.cols) {
    Silu(context, qkv, view_);
  }
  ConstMatrix view() const { return view_; }

 private:
  std::vector<float> values_;
  Matrix view_;
};

// dqkv <- dqkv * silu'(qkv)
void ActivateBackward(ConstMatrix qkv, Matrix dqkv) {
  for (int64_t t = 0; t < qkv.rows; ++t) {
    for (int64_t c = 0; c < qkv.cols; ++c) {
      const double value = qkv.row(t)[c];
      const double sigmoid = 1.0 / (1.0 + std::exp(-value));
      const double complement = 1.0 / (1.0 + std::exp(value));
      dqkv.row(t)[c] =
          static_cast<float>(double{dqkv.row(t)[c]} * sigmoid * (1.0 + value * complement));
    }
  }
}

}  // namespace

void LightningAttentionBackward(KernelContext& context, ConstMatrix qkv,
                                std::span<const float> decay, std::span<const int64_t> starts,
                                ConstMatrix dout, Matrix dqkv) {
  const int64_t heads = static_cast<int64_t>(decay.size());
  const int64_t dim = dout.cols / heads;
  CheckBorders(starts, qkv.rows);
  FULMEN_CHECK(dout.cols == heads * dim && qkv.cols == 3 * dout.cols && dqkv.cols == qkv.cols &&
                   dout.rows == qkv.rows && dqkv.rows == qkv.rows,
               "qkv is [{}, {}], dout [{}, {}], dqkv [{}, {}] for {} heads", qkv.rows, qkv.cols,
               dout.rows, dout.cols, dqkv.rows, dqkv.cols, heads);
  const ActivatedRows activated(context, qkv);
  for (size_t i = 0; i + 1 < starts.size(); ++i) {
    const int64_t first = starts[i];
    const int64_t count = starts[i + 1] - first;
    for (int64_t h = 0; h < heads; ++h) {
      Head(activated.view().Rows(first, count).Cols(h * 3 * dim, 3 * dim),
           decay[static_cast<size_t>(h)], dout.Rows(first, count).Cols(h * dim, dim),
           dqkv.Rows(first, count).Cols(h * 3 * dim, 3 * dim));
    }
  }
  ActivateBackward(qkv, dqkv);
}

}  // namespace fulmen::ref
