#include "model/forward.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <string>

#include "base/check.h"
#include "model/forward_pass.h"

namespace fulmen {
namespace {

void CheckArguments(const Config& config, std::span<const int32_t> tokens, ConstMatrix logits) {
  const auto count = static_cast<int64_t>(tokens.size());
  FULMEN_CHECK(logits.rows <= count, "{} rows of logits for {} tokens", logits.rows, count);
  for (const int32_t token : tokens) {
    FULMEN_CHECK(token >= 0 && token < config.vocab_size, "token {} of a vocabulary of {}", token,
                 config.vocab_size);
  }
}

// Copies what is wanted of layer `layer`.
void CaptureLayer(const ForwardCapture& capture, int64_t layer, const LayerActivations& a) {
  const int64_t choices = a.experts.rows * a.experts.cols;
  if (capture.experts != nullptr) {
    std::copy_n(a.experts.data, choices, capture.experts + layer * choices);
  }
  if (capture.expert_weights != nullptr) {
    std::copy_n(a.expert_weights.data, choices, capture.expert_weights + layer * choices);
  }
}

void CaptureHidden(const ForwardCapture& capture, int64_t layer, ConstMatrix x) {
  if (capture.hidden == nullptr) return;
  std::copy_n(x.data, x.rows * x.cols, capture.hidden + layer * x.rows * x.cols);
}

// Whether a sum of squares that a norm takes of a row overflows. The norm would give zeros, so that
// the logits would say nothing and still be finite.
bool SquaresOverflow(ConstMatrix x) {
  constexpr uint32_t kMagnitude = 0x7fffffff;
  for (int64_t row = 0; row < x.rows; ++row) {
    const float* values = x.row(row);
    uint32_t largest = 0;
    for (int64_t i = 0; i < x.cols; ++i) {
      largest = std::max(largest, std::bit_cast<uint32_t>(values[i]) & kMagnitude);
    }
    // No sum of this many can overflow below 2^50.
    if (std::bit_cast<float>(largest) < 0x1p50F) continue;
    double sum = 0;
    for (int64_t i = 0; i < x.cols; ++i) sum += double{values[i]} * values[i];
    if (sum > std::numeric_limits<float>::max()) return true;
  }
  return false;
}

Status CheckNormInput(const Config& config, int64_t layer, ConstMatrix hidden) {
  if (!SquaresOverflow(hidden)) return {};
  const std::string reader =
      layer == config.layer_count() ? std::string("the last norm") : fmt::format("layer {}", layer);
  return Fail(ErrorCode::kNonFinite,
              "the logits overflowed: what {} reads is so large that its squares exceed float32",
              reader);
}

}  // namespace

Status Forward(const Model& model, const Kernels& kernels, KernelContext& context,
               std::span<const int32_t> tokens, SequenceState& state, Matrix logits,
               const ForwardCapture& capture) {
  const Config& config = model.config;
  const auto count = static_cast<int64_t>(tokens.size());
  CheckArguments(config, tokens, logits);
  if (count == 0) return {};
  const Workspace::Frame frame(context.scratch);
  const std::span<int64_t> positions(context.scratch.Allocate<int64_t>(count), tokens.size());
  std::iota(positions.begin(), positions.end(), state.position());
  const AttentionScope scope = {.state = &state, .positions = positions};
  const ForwardPass pass(config, model.weights, kernels, context, scope);

  const Matrix hidden = context.scratch.AllocateMatrix(count, config.hidden_size);
  kernels.embedding(context, tokens, model.weights.token_embedding, hidden);
  for (int64_t layer = 0; layer < config.layer_count(); ++layer) {
    CaptureHidden(capture, layer, hidden);
    FULMEN_TRY(CheckNormInput(config, layer, hidden));
    const Workspace::Frame layer_frame(context.scratch);
    FULMEN_ASSIGN(const LayerActivations activations, pass.Layer(layer, hidden, hidden));
    CaptureLayer(capture, layer, activations);
  }
  FULMEN_TRY(CheckNormInput(config, config.layer_count(), hidden));
  pass.Norm(hidden, model.weights.output_norm, hidden);
  CaptureHidden(capture, config.layer_count(), hidden);
  if (logits.rows > 0) {
    kernels.linear(context, hidden.Rows(count - logits.rows, logits.rows),
                   {{model.weights.head, logits}});
    if (!kernels.all_finite(context, logits)) {
      return Fail(ErrorCode::kNonFinite,
                  "the logits overflowed: the head (after layer {}) gave NaN or infinity ({})",
                  config.layer_count() - 1, kNonFiniteHint);
    }
  }
  state.Advance(count);
  return {};
}

}  // namespace fulmen
