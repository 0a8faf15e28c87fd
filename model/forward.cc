#include "model/forward.h"

#include <algorithm>

#include "base/check.h"
#include "model/forward_pass.h"
#include "model/vision.h"

namespace fulmen {
namespace {

// One call.
class BatchForward {
 public:
  BatchForward(const Model& model, const Compute& compute, const ForwardBatch& batch,
               const ForwardCapture& capture)
      : model_(model),
        compute_(compute),
        batch_(batch),
        capture_(capture),
        rows_(std::ssize(batch.tokens)),
        health_(batch.tokens.size()),
        statuses_(batch.sequences.size()) {
    for (const SequenceState* sequence : batch.sequences) {
      first_positions_.push_back(sequence->position());
    }
    for (int64_t s = 0; s < slices().count(); ++s) {
      for (int64_t t = 0; t < slices().rows(s); ++t) {
        positions_.push_back(slices().position(s) + t);
      }
    }
    for (const ForwardBatch::Snapshot& snapshot : batch.snapshots) {
      const int64_t row = slices().first(snapshot.sequence) + snapshot.fork->position() -
                          slices().position(snapshot.sequence);
      forks_.push_back(
          {row, batch.sequences[static_cast<size_t>(snapshot.sequence)], snapshot.fork});
    }
  }

  std::vector<Status> Run(Matrix logits) {
    Check(logits);
    if (rows_ == 0) return statuses_;
    const Config& config = model_.config;
    const Workspace::Frame frame(compute_.context.scratch);
    const BatchScope scope = {.slices = slices(),
                              .positions = positions_,
                              .sequences = batch_.sequences,
                              .forks = forks_,
                              .keep_moe = capture_.observer != nullptr};
    const ForwardPass pass(config, model_.weights, compute_, scope);
    const Matrix hidden = Allocate(rows_);
    compute_.kernels.embedding(compute_.context, batch_.tokens, model_.weights.token_embedding,
                               hidden);
    for (const ForwardBatch::ImageRows& image : batch_.images) {
      PackFeatures(model_, compute_, image.features, image.rows,
                   hidden.Rows(image.first, std::ssize(image.rows)));
    }
    CheckHealth(-1, hidden);
    for (int64_t layer = 0; layer < config.layer_count(); ++layer) {
      CaptureHidden(layer, hidden);
      const Workspace::Frame layer_frame(compute_.context.scratch);
      const Result<LayerActivations> activations = pass.Layer(layer, hidden, hidden);
      FULMEN_CHECK(activations, "nothing fails without ranks");
      CaptureChoices(layer, *activations);
      if (capture_.observer != nullptr) capture_.observer->OnLayer(layer, *activations);
      CheckHealth(layer, hidden);
    }
    pass.Norm(hidden, model_.weights.output_norm, hidden);
    CaptureHidden(config.layer_count(), hidden);
    if (capture_.observer != nullptr) capture_.observer->OnHidden(hidden);
    ComputeLogits(hidden, logits);
    for (const ForkPoint& point : forks_) point.sequence->CopyLastPage(*point.fork);
    for (int64_t s = 0; s < slices().count(); ++s) {
      batch_.sequences[static_cast<size_t>(s)]->Advance(slices().rows(s));
    }
    return statuses_;
  }

 private:
  Slices slices() const { return {batch_.starts, first_positions_}; }
  Matrix Allocate(int64_t rows) const {
    return compute_.context.scratch.AllocateMatrix(rows, model_.config.hidden_size);
  }

  void Check(ConstMatrix logits) const {
    CheckSlices(slices(), rows_);
    FULMEN_CHECK(logits.rows == std::ssize(batch_.logit_rows), "{} rows of logits for {} wanted",
                 logits.rows, batch_.logit_rows.size());
    for (const int32_t token : batch_.tokens) {
      FULMEN_CHECK(token >= 0 && token < model_.config.vocab_size, "token {} of a vocabulary of {}",
                   token, model_.config.vocab_size);
    }
    for (const ForwardBatch::ImageRows& image : batch_.images) {
      FULMEN_CHECK(image.first >= 0 && image.first + std::ssize(image.rows) <= rows_,
                   "rows {} .. of an image in a batch of {}", image.first, rows_);
    }
    for (const SequenceState* sequence : batch_.sequences) {
      FULMEN_CHECK(sequence->pool() == batch_.sequences.front()->pool(),
                   "sequences of one batch share a pool");
      FULMEN_CHECK(std::ranges::count(batch_.sequences, sequence) == 1,
                   "a sequence is in a batch once");
    }
    for (size_t i = 0; i < forks_.size(); ++i) {
      const int64_t sequence = batch_.snapshots[i].sequence;
      const int64_t before = i == 0 ? 0 : forks_[i - 1].row;
      FULMEN_CHECK(forks_[i].row > slices().first(sequence) &&
                       forks_[i].row <= slices().first(sequence + 1) && forks_[i].row >= before,
                   "fork {} of a batch lies after row {} of {} .. {}", i, forks_[i].row,
                   slices().first(sequence), slices().first(sequence + 1));
    }
  }

  void Fail(int64_t sequence, Error error) {
    Status& status = statuses_[static_cast<size_t>(sequence)];
    if (status) status = tl::unexpected<Error>(std::move(error));
  }

  // Looks at the output of `layer`, or of the embedding for -1.
  void CheckHealth(int64_t layer, ConstMatrix hidden) {
    compute_.kernels.row_health(compute_.context, hidden, health_);
    for (int64_t s = 0; s < slices().count(); ++s) {
      const auto rows = std::span(health_).subspan(static_cast<size_t>(slices().first(s)),
                                                   static_cast<size_t>(slices().rows(s)));
      const Status healthy = fulmen::CheckHealth(model_.config, layer, rows, slices().position(s));
      if (!healthy) Fail(s, healthy.error());
    }
  }

  void ComputeLogits(ConstMatrix hidden, Matrix logits) {
    if (logits.rows == 0) return;
    const Matrix wanted = Allocate(logits.rows);
    compute_.kernels.gather_rows(compute_.context, hidden, batch_.logit_rows, wanted);
    compute_.kernels.linear(compute_.context, wanted, {{model_.weights.head, logits}});
    std::vector<RowHealth> health(batch_.logit_rows.size());
    compute_.kernels.row_health(compute_.context, logits, health);
    for (size_t i = 0; i < health.size(); ++i) {
      if (health[i] != RowHealth::kNotFinite) continue;
      const auto after = std::ranges::upper_bound(batch_.starts, batch_.logit_rows[i]);
      Fail(after - batch_.starts.begin() - 1,
           {ErrorCode::kNonFinite,
            fmt::format("the logits overflowed: the head (after layer {}) gave NaN or infinity "
                        "({})",
                        model_.config.layer_count() - 1, kNonFiniteHint)});
    }
  }

  // Copies what is wanted as the `index`-th of its kind.
  template <class T>
  void Capture(const MatrixView<T>& matrix, int64_t index, T* to) const {
    if (to == nullptr) return;
    const auto count = static_cast<size_t>(matrix.rows * matrix.cols);
    const std::span all(to + index * matrix.rows * matrix.cols, count);
    compute_.kernels.copy(compute_.context, std::as_bytes(std::span(matrix.data, count)),
                          std::as_writable_bytes(all));
  }
  void CaptureHidden(int64_t index, const Matrix& hidden) const {
    Capture(hidden, index, capture_.hidden);
  }
  void CaptureChoices(int64_t layer, const LayerActivations& a) const {
    Capture(a.experts, layer, capture_.experts);
    Capture(a.routing_weights, layer, capture_.routing_weights);
  }

  const Model& model_;
  const Compute& compute_;
  const ForwardBatch& batch_;
  const ForwardCapture& capture_;
  int64_t rows_;
  std::vector<int64_t> first_positions_;  // of each sequence's part
  std::vector<int64_t> positions_;        // of each row
  std::vector<ForkPoint> forks_;
  std::vector<RowHealth> health_;
  std::vector<Status> statuses_;
};

}  // namespace

void ForwardBatch::Add(std::span<const int32_t> ids, SequenceState& sequence, int64_t logits) {
  FULMEN_CHECK(logits <= std::ssize(ids), "{} rows of logits for {} tokens", logits, ids.size());
  tokens.insert(tokens.end(), ids.begin(), ids.end());
  starts.push_back(std::ssize(tokens));
  sequences.push_back(&sequence);
  for (int64_t row = starts.back() - logits; row < starts.back(); ++row) logit_rows.push_back(row);
}

std::vector<Status> Forward(const Model& model, const Compute& compute, const ForwardBatch& batch,
                            Matrix logits, const ForwardCapture& capture) {
  return BatchForward(model, compute, batch, capture).Run(logits);
}

Status Forward(const Model& model, const Compute& compute, std::span<const int32_t> tokens,
               SequenceState& sequence, Matrix logits, const ForwardCapture& capture) {
  FULMEN_TRY(sequence.Reserve(std::ssize(tokens)));
  ForwardBatch batch;
  batch.Add(tokens, sequence, logits.rows);
  return Forward(model, compute, batch, logits, capture).front();
}

}  // namespace fulmen
