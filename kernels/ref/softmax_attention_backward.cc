#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ref/training_operations.h"

namespace fulmen::ref {
namespace {

double Dot(const float* a, const float* b, int64_t count) {
  double sum = 0.0;
  for (int64_t i = 0; i < count; ++i) sum += double{a[i]} * double{b[i]};
  return sum;
}

int64_t Heads(const PackedAttention& a) { return a.queries.cols / a.head_dim; }
int64_t KvHeads(const PackedAttention& a) { return a.keys.cols / a.head_dim; }

// What BackwardHead reads besides the attention itself.
struct Outputs {
  ConstMatrix out;
  ConstMatrix log_sums;
  ConstMatrix dout;
};

// Writes the gradient of one head's queries, which see earlier keys only if causal; adds to dkeys
// and dvalues [end - first, dim], which all heads of a KV head share.
void BackwardHead(const PackedAttention& a, const Outputs& outputs, int64_t head, int64_t kv,
                  int64_t first, int64_t end, bool causal, Matrix dqueries,
                  std::vector<double>& dkeys, std::vector<double>& dvalues) {
  const int64_t dim = a.head_dim;
  const double scale = 1.0 / std::sqrt(static_cast<double>(dim));
  std::vector<double> dquery(static_cast<size_t>(dim));
  for (int64_t t = first; t < end; ++t) {
    const float* query = a.queries.row(t) + head * dim;
    const float* dout = outputs.dout.row(t) + head * dim;
    // What the normalisation takes back: sum over positions of probability times its gradient.
    const double shared = Dot(dout, outputs.out.row(t) + head * dim, dim);
    std::fill(dquery.begin(), dquery.end(), 0.0);
    for (int64_t p = first; p < (causal ? t + 1 : end); ++p) {
      const float* key = a.keys.row(p) + kv * dim;
      const double score = scale * Dot(query, key, dim);
      const double probability = std::exp(score - double{outputs.log_sums.row(t)[head]});
      const double dscore =
          scale * probability * (Dot(dout, a.values.row(p) + kv * dim, dim) - shared);
      for (int64_t d = 0; d < dim; ++d) {
        const auto i = static_cast<size_t>((p - first) * dim + d);
        dquery[static_cast<size_t>(d)] += dscore * double{key[d]};
        dkeys[i] += dscore * double{query[d]};
        dvalues[i] += probability * double{dout[d]};
      }
    }
    for (int64_t d = 0; d < dim; ++d) {
      dqueries.row(t)[head * dim + d] = static_cast<float>(dquery[static_cast<size_t>(d)]);
    }
  }
}

void Backward(const PackedAttention& attention, const Outputs& outputs, bool causal,
              Matrix dqueries, Matrix dkeys, Matrix dvalues) {
  CheckPacked(attention, outputs.out, outputs.log_sums);
  const int64_t dim = attention.head_dim;
  const int64_t group = Heads(attention) / KvHeads(attention);
  for (size_t i = 0; i + 1 < attention.starts.size(); ++i) {
    const int64_t first = attention.starts[i];
    const int64_t end = attention.starts[i + 1];
    for (int64_t kv = 0; kv < KvHeads(attention); ++kv) {
      std::vector<double> dk(static_cast<size_t>((end - first) * dim));
      std::vector<double> dv(dk.size());
      for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
        BackwardHead(attention, outputs, h, kv, first, end, causal, dqueries, dk, dv);
      }
      for (int64_t p = first; p < end; ++p) {
        for (int64_t d = 0; d < dim; ++d) {
          const auto j = static_cast<size_t>((p - first) * dim + d);
          dkeys.row(p)[kv * dim + d] = static_cast<float>(dk[j]);
          dvalues.row(p)[kv * dim + d] = static_cast<float>(dv[j]);
        }
      }
    }
  }
}

}  // namespace

void SoftmaxAttentionBackward(KernelContext&, const PackedAttention& attention, ConstMatrix out,
                              ConstMatrix log_sums, ConstMatrix dout, Matrix dqueries, Matrix dkeys,
                              Matrix dvalues) {
  Backward(attention, {out, log_sums, dout}, /*causal=*/true, dqueries, dkeys, dvalues);
}

void BidirectionalAttentionBackward(KernelContext&, const PackedAttention& attention,
                                    ConstMatrix out, ConstMatrix log_sums, ConstMatrix dout,
                                    Matrix dqueries, Matrix dkeys, Matrix dvalues) {
  Backward(attention, {out, log_sums, dout}, /*causal=*/false, dqueries, dkeys, dvalues);
}

}  // namespace fulmen::ref
