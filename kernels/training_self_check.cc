#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "kernels/self_check.h"
#include "kernels/self_check_problem.h"

namespace fulmen {
namespace self_check {
namespace {

using TrainingChecker = Checker<TrainingKernels>;
using K = TrainingKernels;
using C = KernelContext;

// Two documents.
constexpr std::array<int64_t, 3> kStarts = {0, 4, kTokens};
constexpr std::array<float, kHeads> kDecay = {0.5F, 0.0625F};

// Operands that were themselves computed and lie close to a tie of BF16 may be rounded either way:
// one of them by one unit, 2^-7 of it at most. This allows a few.
double ToleranceOfComputed(Precision precision) {
  return precision == Precision::kFloat32 ? kTolerance : 0x1p-5;
}

void CheckRows(TrainingChecker& checker) {
  const std::vector<float> x = Values(kTokens * kWidth, 1);
  const std::vector<float> dy = Values(kTokens * kWidth, 2);
  const std::vector<float> other = Values(kTokens * kWidth, 3);
  const std::vector<float> before = Values(kWidth, 4);
  const std::vector<float> nothing = Nothing(kTokens * kWidth);
  const WeightTensor norm(1, kWidth, 5);
  checker.Compare("rms_norm_backward", {nothing, before}, [&](const K& k, C& c, Outputs& out) {
    k.rms_norm_backward(c, View(x, kTokens), norm.view, 1e-5F, View(dy, kTokens),
                        {0.75F, View(other, kTokens)}, View(out[0], kTokens), out[1]);
  });
  checker.Compare("gated_rms_norm_backward", {dy, nothing, nothing, before},
                  [&](const K& k, C& c, Outputs& out) {
                    k.gated_rms_norm_backward(c, View(x, kTokens), norm.view, 1e-5F,
                                              View(other, kTokens), View(out[0], kTokens),
                                              View(out[1], kTokens), View(out[2], kTokens), out[3]);
                  });
  checker.Compare(
      "layer_norm_backward", {nothing, before, before}, [&](const K& k, C& c, Outputs& out) {
        k.layer_norm_backward(c, View(x, kTokens), norm.view, 1e-5F, View(dy, kTokens),
                              View(other, kTokens), View(out[0], kTokens), out[1], out[2]);
      });
  checker.Compare("add_bias_backward", {before}, [&](const K& k, C& c, Outputs& out) {
    k.add_bias_backward(c, View(dy, kTokens), out[0]);
  });
  checker.Compare("bias_gelu_backward", {nothing, before}, [&](const K& k, C& c, Outputs& out) {
    k.bias_gelu_backward(c, View(x, kTokens), norm.view, View(dy, kTokens), View(out[0], kTokens),
                         out[1]);
  });
  checker.Compare("embedding_backward", {Values(kWidth * kWidth, 6)},
                  [&](const K& k, C& c, Outputs& out) {
                    const std::array<int32_t, kTokens> tokens = {5, 0, 74, 1, 1, 8, 40, 3, 2};
                    k.embedding_backward(c, tokens, View(dy, kTokens), View(out[0], kWidth));
                  });
}

void CheckProducts(TrainingChecker& checker) {
  const std::vector<float> x = Values(kTokens * kWidth, 7);
  const std::vector<float> dy = Values(kTokens * kFfn, 8);
  const WeightTensor weight(kFfn, kWidth, 9);
  const std::vector<float> nothing = Nothing(kTokens * kWidth);
  const WeightTensor row(1, kWidth, 10);
  const Outputs outputs = {Nothing(kTokens * kFfn), Nothing(kTokens)};
  checker.Compare("linear", outputs, [&](const K& k, C& c, Outputs& out) {
    k.forward.linear(c, View(x, kTokens),
                     {{weight.view, View(out[0], kTokens)}, {row.view, View(out[1], kTokens)}});
  });
  const auto check_input = [&](const char* name, LinearBackwardInputFn K::*input) {
    checker.Compare(name, {nothing, x}, [&](const K& k, C& c, Outputs& out) {
      (k.*input)(c, View(dy, kTokens), weight.view, /*add=*/false, View(out[0], kTokens));
      (k.*input)(c, View(dy, kTokens), weight.view, /*add=*/true, View(out[1], kTokens));
    });
  };
  check_input("linear_backward_input", &K::linear_backward_input);
  check_input("router_backward_input", &K::router_backward_input);
  const auto check_weight = [&](const char* name, LinearBackwardWeightFn K::*gradient) {
    checker.Compare(name, {weight.values}, [&](const K& k, C& c, Outputs& out) {
      (k.*gradient)(c, View(x, kTokens), View(dy, kTokens), View(out[0], kFfn));
    });
  };
  check_weight("linear_backward_weight", &K::linear_backward_weight);
  check_weight("router_backward_weight", &K::router_backward_weight);
}

void CheckLightning(TrainingChecker& checker) {
  const int64_t size = kTokens * kHeads * kHeadDim;
  const std::vector<float> qkv = Values(3 * size, 10);
  const std::vector<float> dout = Values(size, 11);
  checker.Compare("lightning_attention_backward", {Nothing(3 * size)},
                  [&](const K& k, C& c, Outputs& out) {
                    k.lightning_attention_backward(c, View(qkv, kTokens), kDecay, kStarts,
                                                   View(dout, kTokens), View(out[0], kTokens));
                  });
}

// One KV head for both heads.
void CheckSoftmax(TrainingChecker& checker) {
  const int64_t size = kTokens * kHeads * kHeadDim;
  const std::vector<float> queries = Values(size, 12);
  const std::vector<float> keys = Values(kTokens * kHeadDim, 13);
  const std::vector<float> values = Values(kTokens * kHeadDim, 14);
  const std::vector<float> dout = Values(size, 15);
  const PackedAttention attention = {View(queries, kTokens), View(keys, kTokens),
                                     View(values, kTokens), kHeadDim, kStarts};
  // What the forward pass left need not be true of these operands to tell two tables apart.
  const std::vector<float> attended = Values(size, 19);
  const std::vector<float> log_sums(static_cast<size_t>(kTokens * kHeads), 1.0F);
  const auto check = [&](const char* name, SoftmaxAttentionBackwardFn K::*backward) {
    checker.Compare(name, {Nothing(size), Nothing(kTokens * kHeadDim), Nothing(kTokens * kHeadDim)},
                    [&](const K& k, C& c, Outputs& out) {
                      (k.*backward)(c, attention, View(attended, kTokens), View(log_sums, kTokens),
                                    View(dout, kTokens), View(out[0], kTokens),
                                    View(out[1], kTokens), View(out[2], kTokens));
                    });
  };
  check("softmax_attention_backward", &K::softmax_attention_backward);
  check("bidirectional_attention_backward", &K::bidirectional_attention_backward);
}

constexpr std::array<int32_t, kTokens* kChosen> kChoice = {2, 0, 1, 0, 0, 1, 2, 1, 1,
                                                           2, 0, 2, 1, 0, 2, 0, 0, 1};

void CheckRouter(TrainingChecker& checker) {
  const MatrixView<const int32_t> choice(kChoice.data(), kTokens, kChosen);
  const std::vector<float> logits = Values(kTokens * kExperts, 16);
  const std::vector<float> weights = Values(kTokens * kChosen, 17);
  const std::vector<float> dweights = Values(kTokens * kChosen, 18);
  checker.Compare("top_k_router_backward", {Nothing(kTokens * kExperts)},
                  [&](const K& k, C& c, Outputs& out) {
                    k.top_k_router_backward(c, choice, View(weights, kTokens),
                                            View(dweights, kTokens), View(out[0], kTokens));
                  });
  checker.Compare("router_statistics", {{}, {}, {}}, [&](const K& k, C& c, Outputs& out) {
    std::array<double, kChosen* kExperts> counts = {1.0};
    std::array<double, kExperts> probabilities = {1.0};
    RouterStatistics statistics = {counts, probabilities, 1.0};
    k.router_statistics(c, View(logits, kTokens), choice, statistics);
    out = {{counts.begin(), counts.end()},
           {probabilities.begin(), probabilities.end()},
           {static_cast<float>(statistics.squared_log_sums)}};
  });
  checker.Compare("router_loss_backward", {logits}, [&](const K& k, C& c, Outputs& out) {
    const std::array<float, kExperts> coefficients = {0.5F, -0.25F, 0.125F};
    k.router_loss_backward(c, View(logits, kTokens), coefficients, 0.25F, View(out[0], kTokens));
  });
}

// Three outputs an expert, from `first` on.
std::vector<ExpertGradients> GradientsIn(Outputs& out, size_t first) {
  std::vector<ExpertGradients> gradients;
  for (size_t i = first; i < out.size(); i += 3) {
    gradients.push_back({View(out[i], kFfn), View(out[i + 1], kFfn), View(out[i + 2], kWidth)});
  }
  return gradients;
}

void CheckExperts(TrainingChecker& checker, Precision precision) {
  // One slot was dropped; what is kept of it is undefined.
  std::array<int32_t, kTokens* kChosen> kept_choice = kChoice;
  constexpr size_t kDropped = 7;
  kept_choice[kDropped] = -1;
  const MatrixView<const int32_t> choice(kept_choice.data(), kTokens, kChosen);
  const Experts experts;
  const std::vector<float> x = Values(kTokens * kWidth, 40);
  const std::vector<float> weights = Values(kTokens * kChosen, 41);
  const std::vector<float> dout = Values(kTokens * kWidth, 42);
  const std::vector<float> slots = Nothing(kTokens * kChosen * kFfn);
  const auto forward = [&](const K& k, C& c, Outputs& out) {
    k.forward.moe(c, View(x, kTokens), experts.weights, choice, View(weights, kTokens),
                  {View(out[1], kTokens * kChosen), View(out[2], kTokens * kChosen)},
                  View(out[0], kTokens));
    for (size_t i : {1, 2}) std::fill_n(out[i].begin() + kDropped * kFfn, kFfn, 0.0F);
  };
  const Outputs nothing = {Nothing(kTokens * kWidth), slots, slots};
  checker.Compare("moe", nothing, forward, ToleranceOfComputed(precision));
  Outputs left = checker.Expected(nothing, forward);
  Outputs initial = {Nothing(kTokens * kWidth), Nothing(kTokens * kChosen)};
  for (const WeightTensor& tensor : experts.tensors) initial.push_back(tensor.values);
  checker.Compare(
      "moe_backward", initial,
      [&](const K& k, C& c, Outputs& out) {
        const MoeActivations kept = {View(left[1], kTokens * kChosen),
                                     View(left[2], kTokens * kChosen)};
        k.moe_backward(c, View(x, kTokens), experts.weights, choice, View(weights, kTokens), kept,
                       View(dout, kTokens), View(out[0], kTokens), View(out[1], kTokens),
                       GradientsIn(out, 2));
      },
      ToleranceOfComputed(precision));
}

void CheckLossAndOptimizer(TrainingChecker& checker, Precision precision) {
  const std::vector<float> x = Values(kTokens * kWidth, 50);
  const WeightTensor head(kFfn, kWidth, 51);
  checker.Compare(
      "cross_entropy", {{NAN}, Nothing(kTokens * kWidth), Values(kFfn * kWidth, 52)},
      [&](const K& k, C& c, Outputs& out) {
        const std::array<int32_t, kTokens> targets = {3, -1, 20, 0, 7, 7, -1, 12, 19};
        out[0][0] =
            static_cast<float>(k.cross_entropy(c, View(x, kTokens), head.view, targets, 0.5F,
                                               View(out[1], kTokens), View(out[2], kFfn)));
      },
      ToleranceOfComputed(precision));
  std::vector<float> squares = Values(kWidth, 53);
  for (float& value : squares) value *= value;
  checker.Compare("adamw", {Values(kWidth, 54), Values(kWidth, 55), squares},
                  [&](const K& k, C& c, Outputs& out) {
                    const AdamWParams params = {.learning_rate = 0.1F, .step = 3};
                    k.adamw(c, params, std::span(x).first(kWidth), out[0], out[1], out[2]);
                  });
  checker.Compare("squared_norm", {{NAN}}, [&](const K& k, C& c, Outputs& out) {
    out[0][0] = static_cast<float>(k.squared_norm(c, x));
  });
}

}  // namespace
}  // namespace self_check

Status SelfCheck(const TrainingKernels& kernels, Precision precision, std::string_view name) {
  self_check::TrainingChecker checker(kernels, RefTrainingKernels(precision), name);
  self_check::CheckRows(checker);
  self_check::CheckProducts(checker);
  self_check::CheckLightning(checker);
  self_check::CheckSoftmax(checker);
  self_check::CheckRouter(checker);
  self_check::CheckExperts(checker, precision);
  self_check::CheckLossAndOptimizer(checker, precision);
  return checker.status();
}

}  // namespace fulmen
