#include "kernels/self_check.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

namespace fulmen {
namespace {

// Odd sizes, so that whole vectors and rests are both exercised.
constexpr int64_t kTokens = 9;
constexpr int64_t kWidth = 75;
constexpr int64_t kHeads = 2;
constexpr int64_t kHeadDim = 20;
// Far above rounding at these sizes, far below any real defect.
constexpr double kTolerance = 1e-4;

// A fixed sequence of values in [-1, 1): the check needs no good randomness.
std::vector<float> Values(int64_t count, uint32_t seed) {
  std::vector<float> values(static_cast<size_t>(count));
  uint32_t state = seed * 2654435761U + 1;
  for (float& value : values) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(state >> 8) / 8388608.0F - 1.0F;
  }
  return values;
}

struct WeightTensor {
  std::vector<float> values;
  TensorView view;
  WeightTensor(int64_t rows, int64_t cols, uint32_t seed) : values(Values(rows * cols, seed)) {
    view = {reinterpret_cast<const std::byte*>(values.data()), DType::kF32, {rows, cols}};
  }
};

class Checker {
 public:
  explicit Checker(const Kernels& kernels) : kernels_(kernels) {}

  // Runs `operation` (kernels, context, output) with both sets and compares what they wrote.
  template <class Operation>
  void Compare(const char* name, const std::vector<float>& initial, Operation operation) {
    std::vector<float> actual = initial;
    std::vector<float> expected = initial;
    operation(kernels_, context_, actual);
    operation(RefKernels(), context_, expected);
    double largest = 0.0;
    double difference = 0.0;
    for (size_t i = 0; i < expected.size(); ++i) {
      largest = std::max(largest, std::abs(double{expected[i]}));
      // Not max(): a NaN must stick.
      const double d = std::abs(double{actual[i]} - double{expected[i]});
      if (!(d <= difference)) difference = d;
    }
    if (!status_ || difference <= kTolerance * largest) return;
    status_ =
        Fail(ErrorCode::kUnsupported,
             "the self-check of the {} kernels expected {} to match ref within {}, but found a "
             "difference of {} where the largest value is {}",
             kernels_.name, name, kTolerance, difference, largest);
  }

  Status status() const { return status_; }

 private:
  const Kernels& kernels_;
  ThreadPool pool_{1};
  Workspace scratch_;
  KernelContext context_{pool_, scratch_};
  Status status_;
};

Matrix View(std::vector<float>& values, int64_t rows) {
  return {values.data(), rows, static_cast<int64_t>(values.size()) / rows};
}
ConstMatrix View(const std::vector<float>& values, int64_t rows) {
  return {values.data(), rows, static_cast<int64_t>(values.size()) / rows};
}

void CheckRows(Checker& checker) {
  const std::vector<float> x = Values(kTokens * kWidth, 1);
  const std::vector<float> other = Values(kTokens * kWidth, 2);
  const WeightTensor weight(kWidth, kWidth, 3);
  const WeightTensor norm(1, kWidth, 4);
  const TensorView norm_view = {norm.view.data, DType::kF32, {kWidth}};
  const std::vector<float> nothing(x.size(), NAN);
  checker.Compare("embedding", nothing, [&](const Kernels& k, KernelContext& c, auto& out) {
    const std::array<int32_t, kTokens> tokens = {5, 0, 74, 1, 1, 8, 40, 3, 2};
    k.embedding(c, tokens, weight.view, View(out, kTokens));
  });
  checker.Compare("rms_norm", nothing, [&](const Kernels& k, KernelContext& c, auto& out) {
    k.rms_norm(c, View(x, kTokens), norm_view, 1e-5F, View(out, kTokens));
  });
  checker.Compare("silu", nothing, [&](const Kernels& k, KernelContext& c, auto& out) {
    k.silu(c, View(x, kTokens), View(out, kTokens));
  });
  checker.Compare("gated_rms_norm", nothing, [&](const Kernels& k, KernelContext& c, auto& out) {
    k.gated_rms_norm(c, View(x, kTokens), norm_view, 1e-5F, View(other, kTokens),
                     View(out, kTokens));
  });
  checker.Compare("residual", nothing, [&](const Kernels& k, KernelContext& c, auto& out) {
    k.residual(c, 3.5F, View(x, kTokens), 1.25F, View(other, kTokens), View(out, kTokens));
  });
  checker.Compare("all_finite", {0, 0}, [&](const Kernels& k, KernelContext& c, auto& out) {
    std::vector<float> spoiled = x;
    spoiled.back() = NAN;
    out[0] = k.all_finite(c, View(x, kTokens)) ? 1.0F : 0.0F;
    out[1] = k.all_finite(c, View(spoiled, kTokens)) ? 1.0F : 0.0F;
  });
  checker.Compare("linear", nothing, [&](const Kernels& k, KernelContext& c, auto& out) {
    k.linear(c, View(x, kTokens), weight.view, View(out, kTokens));
  });
}

void CheckAttention(Checker& checker) {
  const std::vector<float> qkv = Values(kTokens * kHeads * 3 * kHeadDim, 5);
  const std::vector<float> queries = Values(kTokens * kHeads * kHeadDim, 6);
  checker.Compare("rope", queries, [&](const Kernels& k, KernelContext& c, auto& out) {
    const std::array<int64_t, kTokens> positions = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    const std::array<float, 4> frequencies = {1.0F, 0.5F, 0.25F, 0.125F};
    k.rope(c, positions, frequencies, kHeadDim, View(out, kTokens));
  });
  const int64_t state_size = kHeads * kHeadDim * kHeadDim;
  const std::vector<float> state = Values(state_size, 7);
  for (const bool compare_state : {false, true}) {
    const char* name = compare_state ? "the state of lightning_attention" : "lightning_attention";
    const std::vector<float> initial = compare_state ? state : queries;
    checker.Compare(name, initial, [&](const Kernels& k, KernelContext& c, auto& out) {
      const std::array<float, kHeads> decay = {0.5F, 0.0625F};
      std::vector<float> other = compare_state ? queries : state;
      k.lightning_attention(c, View(qkv, kTokens), decay,
                            View(compare_state ? out : other, kHeads * kHeadDim),
                            View(compare_state ? other : out, kTokens));
    });
  }
  // One page, one KV head for both heads.
  const int64_t page_tokens = kTokens + 3;
  const std::vector<float> page = Values(2 * page_tokens * kHeadDim, 8);
  checker.Compare("softmax_attention", queries, [&](const Kernels& k, KernelContext& c, auto& out) {
    const std::array<const float*, 1> pages = {page.data()};
    const KvPages kv = {pages, page_tokens, 1, kHeadDim};
    k.softmax_attention(c, View(queries, kTokens), kv, 0, View(out, kTokens));
  });
}

void CheckExperts(Checker& checker) {
  constexpr int64_t kExperts = 3;
  constexpr int64_t kChosen = 2;
  constexpr int64_t kFfn = 21;
  const std::vector<float> x = Values(kTokens * kWidth, 9);
  const std::vector<float> logits = Values(kTokens * kExperts, 10);
  std::vector<WeightTensor> tensors;
  for (uint32_t e = 0; e < kExperts; ++e) {
    tensors.emplace_back(kFfn, kWidth, 20 + 3 * e);
    tensors.emplace_back(kFfn, kWidth, 21 + 3 * e);
    tensors.emplace_back(kWidth, kFfn, 22 + 3 * e);
  }
  std::vector<ExpertWeights> experts;
  for (size_t e = 0; e < kExperts; ++e) {
    experts.push_back({tensors[3 * e].view, tensors[3 * e + 1].view, tensors[3 * e + 2].view});
  }
  checker.Compare("moe", x, [&](const Kernels& k, KernelContext& c, auto& out) {
    std::array<int32_t, kTokens* kChosen> chosen = {};
    std::vector<float> weights(kTokens * kChosen);
    const MatrixView<int32_t> choice(chosen.data(), kTokens, kChosen);
    k.top_k_router(c, View(logits, kTokens), choice, View(weights, kTokens));
    k.moe(c, View(x, kTokens), experts, choice, View(std::as_const(weights), kTokens),
          View(out, kTokens));
  });
}

}  // namespace

Status SelfCheck(const Kernels& kernels) {
  Checker checker(kernels);
  CheckRows(checker);
  CheckAttention(checker);
  CheckExperts(checker);
  return checker.status();
}

}  // namespace fulmen
