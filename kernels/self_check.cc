#include "kernels/self_check.h"

#include <array>
#include <utility>
#include <vector>

#include "kernels/self_check_problem.h"

namespace fulmen {
namespace self_check {
namespace {

void CheckRows(Checker<Kernels>& checker) {
  const std::vector<float> x = Values(kTokens * kWidth, 1);
  const std::vector<float> other = Values(kTokens * kWidth, 2);
  const WeightTensor weight(kWidth, kWidth, 3);
  const WeightTensor norm(1, kWidth, 4);
  const Outputs nothing = {Nothing(kTokens * kWidth)};
  checker.Compare("embedding", nothing, [&](const Kernels& k, KernelContext& c, Outputs& out) {
    const std::array<int32_t, kTokens> tokens = {5, 0, 74, 1, 1, 8, 40, 3, 2};
    k.embedding(c, tokens, weight.view, View(out[0], kTokens));
  });
  checker.Compare("rms_norm", nothing, [&](const Kernels& k, KernelContext& c, Outputs& out) {
    k.rms_norm(c, View(x, kTokens), norm.view, 1e-5F, View(out[0], kTokens));
  });
  checker.Compare("silu", nothing, [&](const Kernels& k, KernelContext& c, Outputs& out) {
    k.silu(c, View(x, kTokens), View(out[0], kTokens));
  });
  checker.Compare("gated_rms_norm", nothing, [&](const Kernels& k, KernelContext& c, Outputs& out) {
    k.gated_rms_norm(c, View(x, kTokens), norm.view, 1e-5F, View(other, kTokens),
                     View(out[0], kTokens));
  });
  checker.Compare("residual", nothing, [&](const Kernels& k, KernelContext& c, Outputs& out) {
    k.residual(c, 3.5F, View(x, kTokens), 1.25F, View(other, kTokens), View(out[0], kTokens));
  });
  checker.Compare("all_finite", {{0, 0}}, [&](const Kernels& k, KernelContext& c, Outputs& out) {
    std::vector<float> spoiled = x;
    spoiled.back() = NAN;
    out[0] = {k.all_finite(c, View(x, kTokens)) ? 1.0F : 0.0F,
              k.all_finite(c, View(spoiled, kTokens)) ? 1.0F : 0.0F};
  });
  checker.Compare("linear", {nothing[0], Nothing(kTokens)},
                  [&](const Kernels& k, KernelContext& c, Outputs& out) {
                    k.linear(
                        c, View(x, kTokens),
                        {{weight.view, View(out[0], kTokens)}, {norm.view, View(out[1], kTokens)}});
                  });
}

void CheckAttention(Checker<Kernels>& checker) {
  const std::vector<float> qkv = Values(kTokens * kHeads * 3 * kHeadDim, 5);
  const std::vector<float> queries = Values(kTokens * kHeads * kHeadDim, 6);
  const std::vector<float> nothing = Nothing(kTokens * kHeads * kHeadDim);
  checker.Compare("rope", {queries}, [&](const Kernels& k, KernelContext& c, Outputs& out) {
    const std::array<int64_t, kTokens> positions = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    const std::array<float, 4> frequencies = {1.0F, 0.5F, 0.25F, 0.125F};
    k.rope(c, positions, frequencies, kHeadDim, View(out[0], kTokens));
  });
  const std::vector<float> state = Values(kHeads * kHeadDim * kHeadDim, 7);
  checker.Compare("lightning_attention", {nothing, state},
                  [&](const Kernels& k, KernelContext& c, Outputs& out) {
                    const std::array<float, kHeads> decay = {0.5F, 0.0625F};
                    k.lightning_attention(c, View(qkv, kTokens), decay,
                                          View(out[1], kHeads * kHeadDim), View(out[0], kTokens));
                  });
  // One page, one KV head for both heads.
  const int64_t page_tokens = kTokens + 3;
  const std::vector<float> page = Values(2 * page_tokens * kHeadDim, 8);
  checker.Compare("softmax_attention", {nothing},
                  [&](const Kernels& k, KernelContext& c, Outputs& out) {
                    const std::array<const float*, 1> pages = {page.data()};
                    const KvPages kv = {pages, page_tokens, 1, kHeadDim};
                    k.softmax_attention(c, View(queries, kTokens), kv, 0, View(out[0], kTokens));
                  });
}

void CheckExperts(Checker<Kernels>& checker) {
  const std::vector<float> x = Values(kTokens * kWidth, 9);
  const std::vector<float> logits = Values(kTokens * kExperts, 10);
  const Experts experts;
  const Outputs nothing = {Nothing(kTokens * kWidth), Nothing(kTokens * kChosen)};
  checker.Compare("top_k_router and moe", nothing,
                  [&](const Kernels& k, KernelContext& c, Outputs& out) {
                    std::array<int32_t, kTokens* kChosen> chosen = {};
                    const MatrixView<int32_t> choice(chosen.data(), kTokens, kChosen);
                    k.top_k_router(c, View(logits, kTokens), choice, View(out[1], kTokens));
                    k.moe(c, View(x, kTokens), experts.weights, choice,
                          View(std::as_const(out[1]), kTokens), View(out[0], kTokens));
                  });
}

}  // namespace
}  // namespace self_check

Status SelfCheck(const Kernels& kernels) {
  self_check::Checker<Kernels> checker(kernels, RefKernels(), kernels.name);
  self_check::CheckRows(checker);
  self_check::CheckAttention(checker);
  self_check::CheckExperts(checker);
  return checker.status();
}

}  // namespace fulmen
