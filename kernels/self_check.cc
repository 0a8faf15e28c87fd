#include "kernels/self_check.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>
#include <vector>

#include "base/memory.h"
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
  checker.Compare("gated_rms_norm", nothing, [&](const Kernels& k, KernelContext& c, Outputs& out) {
    k.gated_rms_norm(c, View(x, kTokens), norm.view, 1e-5F, View(other, kTokens),
                     View(out[0], kTokens));
  });
  const WeightTensor bias(1, kWidth, 12);
  checker.Compare("layer_norm", nothing, [&](const Kernels& k, KernelContext& c, Outputs& out) {
    k.layer_norm(c, View(x, kTokens), norm.view, bias.view, 1e-5F, View(out[0], kTokens));
  });
  checker.Compare("add_bias", nothing, [&](const Kernels& k, KernelContext& c, Outputs& out) {
    k.add_bias(c, View(x, kTokens), bias.view, View(out[0], kTokens));
  });
  checker.Compare("bias_gelu", nothing, [&](const Kernels& k, KernelContext& c, Outputs& out) {
    k.bias_gelu(c, View(x, kTokens), bias.view, View(out[0], kTokens));
  });
  checker.Compare("residual", nothing, [&](const Kernels& k, KernelContext& c, Outputs& out) {
    k.residual(c, 3.5F, View(x, kTokens), 1.25F, View(other, kTokens), View(out[0], kTokens));
  });
  checker.Compare("row_health", nothing, [&](const Kernels& k, KernelContext& c, Outputs& out) {
    std::vector<float> spoiled = x;
    spoiled.back() = NAN;
    std::array<RowHealth, kTokens> health = {};
    k.row_health(c, View(std::as_const(spoiled), kTokens), health);
    for (size_t t = 0; t < kTokens; ++t) out[0][t] = static_cast<float>(health[t]);
    std::fill(out[0].begin() + kTokens, out[0].end(), 0.0F);
  });
  checker.Compare("gather_rows", nothing, [&](const Kernels& k, KernelContext& c, Outputs& out) {
    const std::array<int64_t, kTokens> rows = {8, 0, 7, 1, 1, 6, 2, 5, 3};
    k.gather_rows(c, View(x, kTokens), rows, View(out[0], kTokens));
  });
  checker.Compare("copy", nothing, [&](const Kernels& k, KernelContext& c, Outputs& out) {
    k.copy(c, std::as_bytes(std::span(x)), std::as_writable_bytes(std::span(out[0])));
  });
  checker.Compare("linear", {nothing[0], Nothing(kTokens)},
                  [&](const Kernels& k, KernelContext& c, Outputs& out) {
                    k.linear(
                        c, View(x, kTokens),
                        {{weight.view, View(out[0], kTokens)}, {norm.view, View(out[1], kTokens)}});
                  });
  checker.Compare("router_logits", nothing, [&](const Kernels& k, KernelContext& c, Outputs& out) {
    k.router_logits(c, View(x, kTokens), {{weight.view, View(out[0], kTokens)}});
  });
}

// One type for each way that products with blocks go: with and without minima, groups and values of
// either size.
void CheckQuantized(Checker<Kernels>& checker) {
  constexpr int64_t kRows = 3;
  const QuantizedTensor q4(kRows, kSuperBlock, DType::kQ4_K,
                           {offsetof(BlockQ4_K, d), offsetof(BlockQ4_K, dmin)});
  const QuantizedTensor q6(kRows, kSuperBlock, DType::kQ6_K, {offsetof(BlockQ6_K, d)});
  const QuantizedTensor q2(kRows, kSuperBlock, DType::kQ2_K,
                           {offsetof(BlockQ2_K, d), offsetof(BlockQ2_K, dmin)});
  const QuantizedTensor q8(kRows, kSuperBlock, DType::kQ8_0, {offsetof(BlockQ8_0, d)});
  // Whole steps of 1, up to 127 of them in each block, so that rounding x changes nothing.
  std::vector<float> x(static_cast<size_t>(kTokens * kSuperBlock));
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = i % kSmallBlock == 0 ? 127 : static_cast<float>(i * 37 % 255) - 127;
  }
  const Outputs nothing(4, Nothing(kTokens * kRows));
  checker.Compare("linear with quantized weights", nothing,
                  [&](const Kernels& k, KernelContext& c, Outputs& out) {
                    k.linear(c, View(std::as_const(x), kTokens),
                             {{q4.view, View(out[0], kTokens)},
                              {q6.view, View(out[1], kTokens)},
                              {q2.view, View(out[2], kTokens)},
                              {q8.view, View(out[3], kTokens)}});
                  });
}

void CheckRepacking(Checker<Kernels>& checker) {
  constexpr int64_t kRows = 3;
  const QuantizedTensor weight(kRows, kSuperBlock, DType::kQ4_K,
                               {offsetof(BlockQ4_K, d), offsetof(BlockQ4_K, dmin)});
  const std::vector<float> x(kSuperBlock, 1);
  checker.Compare("repacked_bytes and repack", {Nothing(kRows)},
                  [&](const Kernels& k, KernelContext& c, Outputs& out) {
                    const size_t bytes = k.repacked_bytes(c, weight.view);
                    if (bytes < weight.bytes.size()) return;
                    std::vector<std::byte, AlignedAllocator<std::byte>> memory(bytes);
                    const WeightMatrix repacked = k.repack(c, weight.view, memory.data());
                    if (repacked.empty()) return;
                    k.linear(c, View(x, 1), {{repacked, View(out[0], 1)}});
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
  // Two slices; the first goes from one block of lightning attention to the next.
  const std::array<int64_t, 3> starts = {0, 4, kTokens};
  const std::array<int64_t, 2> positions = {kLightningBlock + 30, 0};
  const Slices slices = {starts, positions};
  checker.Compare("lightning_attention", {nothing, nothing},
                  [&](const Kernels& k, KernelContext& c, Outputs& out) {
                    const std::array<float, kHeads> decay = {0.5F, 0.0625F};
                    std::vector<float> memory = Values(LightningMemorySize(kHeads, kHeadDim), 7);
                    const std::array<float*, 2> memories = {memory.data(), nullptr};
                    k.lightning_attention(c, View(qkv, kTokens), decay, slices, memories,
                                          View(out[0], kTokens));
                    // What was remembered shows in what comes next.
                    const std::array<int64_t, 2> all = {0, kTokens};
                    const std::array<int64_t, 1> next = {positions[0] + starts[1]};
                    k.lightning_attention(c, View(qkv, kTokens), decay, {all, next},
                                          std::span(memories).first(1), View(out[1], kTokens));
                  });
  checker.Compare(
      "lightning_state", {Nothing(kHeads * kHeadDim * kHeadDim)},
      [&](const Kernels& k, KernelContext& c, Outputs& out) {
        const std::array<float, kHeads> decay = {0.5F, 0.0625F};
        const std::vector<float> memory = Values(LightningMemorySize(kHeads, kHeadDim), 7);
        k.lightning_state(c, decay, positions[0], memory.data(), View(out[0], kHeads * kHeadDim));
      });
  // A page each, one KV head for both heads.
  const int64_t page_tokens = 3 * kKvTile;
  const std::vector<float> page = Values(2 * page_tokens * kHeadDim, 8);
  const std::vector<float> keys = Values(kTokens * kHeadDim, 11);
  checker.Compare(
      "store_kv and softmax_attention", {nothing, page, page, Nothing(kTokens * kHeads)},
      [&](const Kernels& k, KernelContext& c, Outputs& out) {
        const std::array<std::byte*, 2> bases = {reinterpret_cast<std::byte*>(out[1].data()),
                                                 reinterpret_cast<std::byte*>(out[2].data())};
        const std::array<std::span<std::byte* const>, 2> pages = {std::span(bases).first(1),
                                                                  std::span(bases).last(1)};
        const KvCache cache = {.pages = pages,
                               .page_tokens = page_tokens,
                               .offset = 0,
                               .format = {DType::kF32, 1, kHeadDim}};
        k.store_kv(c, View(keys, kTokens), View(keys, kTokens), slices, cache);
        k.softmax_attention(c, View(queries, kTokens), cache, slices, View(out[0], kTokens),
                            View(out[3], kTokens));
      });
  checker.Compare("bidirectional_attention", {nothing, Nothing(kTokens * kHeads)},
                  [&](const Kernels& k, KernelContext& c, Outputs& out) {
                    const PackedAttention attention = {View(queries, kTokens), View(keys, kTokens),
                                                       View(keys, kTokens), kHeadDim, starts};
                    k.bidirectional_attention(c, attention, View(out[0], kTokens),
                                              View(out[1], kTokens));
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
                          View(std::as_const(out[1]), kTokens), {}, View(out[0], kTokens));
                  });
}

}  // namespace
}  // namespace self_check

Status SelfCheck(const Kernels& kernels) {
  self_check::Checker<Kernels> checker(kernels, RefKernels(), kernels.name);
  self_check::CheckRows(checker);
  self_check::CheckQuantized(checker);
  self_check::CheckRepacking(checker);
  self_check::CheckAttention(checker);
  self_check::CheckExperts(checker);
  return checker.status();
}

}  // namespace fulmen
