#include "model/layered_forward.h"

#include <array>
#include <numeric>

#include "base/check.h"
#include "model/forward_pass.h"

namespace fulmen {

LayeredForward::LayeredForward(const Model& model, const Compute& compute,
                               std::span<const int32_t> tokens, SequenceState& sequence,
                               std::span<SequenceState* const> forks, Workspace& memory)
    : model_(model),
      compute_(compute),
      sequence_(&sequence),
      forks_(forks.begin(), forks.end()),
      memory_(memory),
      hidden_(memory.AllocateMatrix(std::ssize(tokens), model.config.hidden_size)) {
  FULMEN_CHECK(!tokens.empty(), "no tokens");
  compute.kernels.embedding(compute.context, tokens, model.weights.token_embedding, hidden_);
}

Status LayeredForward::Run(int64_t rows) {
  FULMEN_CHECK(!done() && rows > 0 && rows <= rows_left(), "{} rows of {} are left for {}",
               rows_left(), hidden_.rows, rows);
  const int64_t first = sequence_->position() + row_;
  const std::array<int64_t, 2> starts = {0, rows};
  const std::array<int64_t, 1> first_position = {first};
  std::vector<int64_t> positions(static_cast<size_t>(rows));
  std::iota(positions.begin(), positions.end(), first);
  std::vector<ForkPoint> forks;
  for (SequenceState* fork : forks_) {
    const int64_t row = fork->position() - first;
    if (row > 0 && row <= rows) forks.push_back({row, sequence_, fork});
  }
  const Matrix hidden = hidden_.Rows(row_, rows);
  std::vector<RowHealth> health(positions.size());
  if (layer_ == 0) {
    compute_.kernels.row_health(compute_.context, hidden, health);
    FULMEN_TRY(CheckHealth(model_.config, -1, health, first));
  }
  const BatchScope scope = {.slices = {starts, first_position},
                            .positions = positions,
                            .sequences = {&sequence_, 1},
                            .forks = forks};
  const Workspace::Frame frame(compute_.context.scratch);
  const ForwardPass pass(model_.config, model_.weights, compute_, scope);
  const Result<LayerActivations> activations = pass.Layer(layer_, hidden, hidden);
  FULMEN_CHECK(activations, "nothing fails without ranks");
  compute_.kernels.row_health(compute_.context, hidden, health);
  FULMEN_TRY(CheckHealth(model_.config, layer_, health, first));
  row_ += rows;
  if (row_ == hidden_.rows) {
    row_ = 0;
    ++layer_;
    if (done()) Finish();
  }
  return {};
}

void LayeredForward::Finish() {
  for (const SequenceState* fork : forks_) sequence_->CopyLastPage(*fork);
  sequence_->Advance(hidden_.rows);
}

}  // namespace fulmen
