#include "model/input_squares.h"

#include <algorithm>
#include <cmath>

#include "model/forward_pass.h"

namespace fulmen {
namespace {

ColumnSquares Columns(int64_t count) {
  return {.squares = std::vector<double>(static_cast<size_t>(count))};
}

void AddRow(const float* row, ColumnSquares& sums) {
  for (size_t c = 0; c < sums.squares.size(); ++c) {
    sums.squares[c] += static_cast<double>(row[c]) * static_cast<double>(row[c]);
  }
  ++sums.tokens;
}

}  // namespace

InputSquares::InputSquares(const Model& model, const Compute& compute)
    : model_(model),
      compute_(compute),
      states_(model.config),
      layers_(model.config.layers.size()),
      head_(Columns(model.config.hidden_size)) {
  const Config& config = model.config;
  for (OfLayer& layer : layers_) {
    layer.input = Columns(config.hidden_size);
    layer.attended = Columns(config.attention_size());
    layer.experts.assign(static_cast<size_t>(config.experts),
                         {Columns(config.hidden_size), Columns(config.ffn_size)});
  }
}

Status InputSquares::Read(std::span<const int32_t> ids) {
  FULMEN_ASSIGN(SequenceState state, states_.Create());
  return Forward(model_, compute_, ids, state, {}, {.observer = this});
}

const ColumnSquares* InputSquares::Find(const TensorRow& row, int64_t layer, int64_t expert) const {
  if (row.in_model()) {
    const bool tied = model_.config.tied_embeddings && row.Is(&ModelWeights::token_embedding);
    return tied || row.Is(&ModelWeights::head) ? &head_ : nullptr;
  }
  const OfLayer& sums = layers_[static_cast<size_t>(layer)];
  if (row.per_expert()) {
    const OfExpert& of_expert = sums.experts[static_cast<size_t>(expert)];
    return row.Is(&ExpertWeights::down) ? &of_expert.hidden : &of_expert.input;
  }
  if (row.Is(&LayerWeights::attention_output)) return &sums.attended;
  const bool before_attention = row.Is(&LayerWeights::qkv) || row.Is(&LayerWeights::output_gate) ||
                                row.Is(&LayerWeights::query) || row.Is(&LayerWeights::key) ||
                                row.Is(&LayerWeights::value);
  return before_attention ? &sums.input : nullptr;
}

template <class T>
MatrixView<const T> InputSquares::ToHost(MatrixView<const T> matrix, std::vector<T>& memory) const {
  memory.resize(static_cast<size_t>(matrix.rows * matrix.cols));
  compute_.kernels.copy(compute_.context, std::as_bytes(std::span(matrix.data, memory.size())),
                        std::as_writable_bytes(std::span(memory)));
  return {memory.data(), matrix.rows, matrix.cols};
}

void InputSquares::AddRows(ConstMatrix matrix, ColumnSquares& sums) {
  const ConstMatrix rows = ToHost(matrix, rows_);
  for (int64_t t = 0; t < rows.rows; ++t) AddRow(rows.row(t), sums);
}

void InputSquares::AddExperts(const LayerActivations& a, std::span<OfExpert> experts) {
  const ConstMatrix input = ToHost(ConstMatrix(a.mlp_input), rows_);
  const ConstMatrix gate = ToHost(ConstMatrix(a.moe.gate), gate_);
  const ConstMatrix up = ToHost(ConstMatrix(a.moe.up), up_);
  const MatrixView<const int32_t> choices = ToHost(MatrixView<const int32_t>(a.experts), choices_);
  std::vector<float> hidden(static_cast<size_t>(gate.cols));
  for (int64_t slot = 0; slot < gate.rows; ++slot) {
    const int64_t token = slot / choices.cols;
    OfExpert& expert = experts[static_cast<size_t>(choices.row(token)[slot % choices.cols])];
    AddRow(input.row(token), expert.input);
    for (int64_t c = 0; c < gate.cols; ++c) {
      const float g = gate.row(slot)[c];
      hidden[static_cast<size_t>(c)] = g / (1 + std::exp(-g)) * up.row(slot)[c];
    }
    AddRow(hidden.data(), expert.hidden);
  }
}

void InputSquares::OnLayer(int64_t layer, const LayerActivations& a) {
  OfLayer& sums = layers_[static_cast<size_t>(layer)];
  AddRows(a.attention_input, sums.input);
  AddRows(a.attended, sums.attended);
  AddExperts(a, sums.experts);
}

void InputSquares::OnHidden(ConstMatrix hidden) { AddRows(hidden, head_); }

}  // namespace fulmen
