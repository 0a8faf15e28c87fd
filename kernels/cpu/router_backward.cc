// Scalar work over some tens of experts per token, the same for every instruction set.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/register_training.h"

namespace fulmen::cpu {
namespace {

constexpr int64_t kBlockTokens = 64;

// task(t, worker) for every token, in order within blocks of kBlockTokens; `cost` is the number of
// operations each takes.
template <class Task>
void ForTokens(KernelContext& context, int64_t tokens, int64_t cost, const Task& task) {
  ForTasks(context.pool, (tokens + kBlockTokens - 1) / kBlockTokens, tokens * cost,
           [&](int64_t block, int worker) {
             const int64_t end = std::min(tokens, (block + 1) * kBlockTokens);
             for (int64_t t = block * kBlockTokens; t < end; ++t) task(t, worker);
           });
}

// Fills `probabilities` with the softmax and returns the log of the sum of exp(logit).
double Softmax(const float* logits, int64_t count, float* probabilities) {
  const float largest = *std::max_element(logits, logits + count);
  float total = 0.0F;
  for (int64_t e = 0; e < count; ++e) {
    probabilities[e] = std::exp(logits[e] - largest);
    total += probabilities[e];
  }
  for (int64_t e = 0; e < count; ++e) probabilities[e] /= total;
  return double{largest} + std::log(double{total});
}

void TopKRouterBackward(KernelContext& context, MatrixView<const int32_t> experts,
                        ConstMatrix weights, ConstMatrix dweights, Matrix dlogits) {
  const int64_t k = weights.cols;
  FULMEN_CHECK(experts.cols == k && dweights.cols == k && experts.rows == weights.rows &&
                   dweights.rows == weights.rows && dlogits.rows == weights.rows,
               "experts are [{}, {}], weights [{}, {}], dweights [{}, {}], dlogits [{}, {}]",
               experts.rows, experts.cols, weights.rows, k, dweights.rows, dweights.cols,
               dlogits.rows, dlogits.cols);
  ForTokens(context, weights.rows, dlogits.cols + 4 * k, [&](int64_t t, int) {
    const float* weight = weights.row(t);
    const float* dweight = dweights.row(t);
    float* dlogit = dlogits.row(t);
    float shared = 0.0F;
    for (int64_t s = 0; s < k; ++s) shared += weight[s] * dweight[s];
    std::fill_n(dlogit, dlogits.cols, 0.0F);
    for (int64_t s = 0; s < k; ++s) {
      const int32_t expert = experts.row(t)[s];
      FULMEN_CHECK(expert >= 0 && expert < dlogits.cols, "expert {} of {}", expert, dlogits.cols);
      dlogit[expert] = weight[s] * (dweight[s] - shared);
    }
  });
}

// Every block of tokens has sums of its own, added to `statistics` from first to last, so that no
// order depends on threads.
void CountRouterStatistics(KernelContext& context, ConstMatrix logits,
                           MatrixView<const int32_t> experts, RouterStatistics& statistics) {
  const int64_t count = logits.cols;
  const int64_t slots = experts.cols;
  FULMEN_CHECK(static_cast<int64_t>(statistics.counts.size()) == slots * count &&
                   static_cast<int64_t>(statistics.probabilities.size()) == count &&
                   experts.rows == logits.rows,
               "{} counts and {} probabilities for {} slots and {} experts",
               statistics.counts.size(), statistics.probabilities.size(), slots, count);
  const Workspace::Frame frame(context.scratch);
  const int64_t blocks = (logits.rows + kBlockTokens - 1) / kBlockTokens;
  const int64_t width = (slots + 1) * count + 1;  // counts, probabilities, squared log sum
  double* sums = context.scratch.Allocate<double>(blocks * width);
  std::fill_n(sums, blocks * width, 0.0);
  const Matrix probabilities = context.scratch.AllocateMatrix(context.pool.size(), count);
  ForTokens(context, logits.rows, 16 * count, [&](int64_t t, int worker) {
    double* counted = sums + t / kBlockTokens * width;
    double* summed = counted + slots * count;
    for (int64_t s = 0; s < slots; ++s) {
      const int32_t expert = experts.row(t)[s];
      FULMEN_CHECK(expert >= 0 && expert < count, "expert {} of {}", expert, count);
      counted[s * count + expert] += 1.0;
    }
    const float* softmax = probabilities.row(worker);
    const double log_sum = Softmax(logits.row(t), count, probabilities.row(worker));
    for (int64_t e = 0; e < count; ++e) summed[e] += double{softmax[e]};
    summed[count] += log_sum * log_sum;
  });
  for (int64_t block = 0; block < blocks; ++block) {
    const double* counted = sums + block * width;
    const double* summed = counted + slots * count;
    std::transform(counted, summed, statistics.counts.begin(), statistics.counts.begin(),
                   std::plus<>());
    std::transform(summed, summed + count, statistics.probabilities.begin(),
                   statistics.probabilities.begin(), std::plus<>());
    statistics.squared_log_sums += summed[count];
  }
}

void RouterLossBackward(KernelContext& context, ConstMatrix logits,
                        std::span<const float> coefficients, float z_coefficient, Matrix dlogits) {
  const int64_t count = logits.cols;
  FULMEN_CHECK(static_cast<int64_t>(coefficients.size()) == count && dlogits.cols == count &&
                   dlogits.rows == logits.rows,
               "logits are [{}, {}], dlogits [{}, {}] for {} coefficients", logits.rows,
               logits.cols, dlogits.rows, dlogits.cols, coefficients.size());
  const Workspace::Frame frame(context.scratch);
  const Matrix probabilities = context.scratch.AllocateMatrix(context.pool.size(), count);
  ForTokens(context, logits.rows, 16 * count, [&](int64_t t, int worker) {
    const float* softmax = probabilities.row(worker);
    const double log_sum = Softmax(logits.row(t), count, probabilities.row(worker));
    const float mean = std::inner_product(softmax, softmax + count, coefficients.begin(), 0.0F);
    const float shift = 2.0F * z_coefficient * static_cast<float>(log_sum) - mean;
    for (int64_t e = 0; e < count; ++e) {
      dlogits.row(t)[e] += softmax[e] * (coefficients[static_cast<size_t>(e)] + shift);
    }
  });
}

}  // namespace

void RegisterRouterBackward(TrainingKernels& kernels) {
  kernels.top_k_router_backward = TopKRouterBackward;
  kernels.router_statistics = CountRouterStatistics;
  kernels.router_loss_backward = RouterLossBackward;
}

}  // namespace fulmen::cpu
