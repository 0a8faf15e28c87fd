// Choosing among some tens of experts per token is scalar work, the same for every instruction set.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/register.h"

namespace fulmen::cpu {
namespace {

constexpr int64_t kTaskTokens = 64;

// Keeps the k largest seen so far in falling order; a later equal one does not overtake. Entries
// stay valid expert numbers even where logits are NaN.
void RouteToken(const float* logits, int64_t experts, int64_t k, int32_t* chosen, float* weights) {
  int64_t kept = 0;
  for (int64_t e = 0; e < experts; ++e) {
    if (kept == k && !(logits[e] > logits[chosen[k - 1]])) continue;
    int64_t slot = kept < k ? kept++ : k - 1;
    for (; slot > 0 && logits[e] > logits[chosen[slot - 1]]; --slot) {
      chosen[slot] = chosen[slot - 1];
    }
    chosen[slot] = static_cast<int32_t>(e);
  }
  float total = 0.0F;
  for (int64_t s = 0; s < k; ++s) {
    weights[s] = std::exp(logits[chosen[s]] - logits[chosen[0]]);
    total += weights[s];
  }
  for (int64_t s = 0; s < k; ++s) weights[s] /= total;
}

void TopKRouter(KernelContext& context, ConstMatrix logits, MatrixView<int32_t> experts,
                Matrix weights) {
  const int64_t k = weights.cols;
  FULMEN_CHECK(k >= 1 && k <= logits.cols && experts.cols == k,
               "top {} of {} experts into {} columns", k, logits.cols, experts.cols);
  const int64_t work = logits.rows * (logits.cols + 16 * k);
  ForTasks(context.pool, (logits.rows + kTaskTokens - 1) / kTaskTokens, work,
           [&](int64_t task, int) {
             const int64_t end = std::min(logits.rows, (task + 1) * kTaskTokens);
             for (int64_t t = task * kTaskTokens; t < end; ++t) {
               RouteToken(logits.row(t), logits.cols, k, experts.row(t), weights.row(t));
             }
           });
}

}  // namespace

void RegisterRouter(Kernels& kernels) { kernels.top_k_router = TopKRouter; }

}  // namespace fulmen::cpu
