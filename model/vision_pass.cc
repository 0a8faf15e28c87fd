#include "model/vision_pass.h"

namespace fulmen {
namespace {

std::span<float> Flat(const Matrix& row) { return {row.data, static_cast<size_t>(row.cols)}; }

const std::vector<int32_t>& OnlyRow() {
  static const std::vector<int32_t> only = {0};
  return only;
}

}  // namespace

VisionPass::VisionPass(const VisionConfig& config, const VisionWeights& weights,
                       const Compute& compute, int64_t tiles)
    : config_(config),
      weights_(weights),
      compute_(compute),
      tiles_(tiles),
      tokens_(1 + config.patches()) {
  for (int64_t tile = 0; tile <= tiles; ++tile) starts_.push_back(tile * tokens_);
  for (int64_t row = 0; row < rows(); ++row) {
    if (row % tokens_ != 0) patch_rows_.push_back(row);
  }
}

void VisionPass::Embed(ConstMatrix patches, Matrix sum) const {
  const Workspace::Frame frame(compute_.context.scratch);
  // The embedded patches, and behind them the class token.
  const Matrix parts = Allocate(patches.rows + 1, config_.width);
  compute_.kernels.linear(compute_.context, patches,
                          {{weights_.patch_embedding, parts.Rows(0, patches.rows)}});
  compute_.kernels.embedding(compute_.context, OnlyRow(), weights_.class_embedding,
                             parts.Rows(patches.rows, 1));
  std::vector<int64_t> sources(static_cast<size_t>(rows()), patches.rows);
  std::vector<int32_t> positions;
  for (int64_t p = 0; p < patches.rows; ++p) {
    sources[static_cast<size_t>(patch_rows_[static_cast<size_t>(p)])] = p;
  }
  for (int64_t row = 0; row < rows(); ++row) {
    positions.push_back(static_cast<int32_t>(row % tokens_));
  }
  compute_.kernels.gather_rows(compute_.context, parts, sources, sum);
  const Matrix place = Allocate(rows(), config_.width);
  compute_.kernels.embedding(compute_.context, positions, weights_.position_embedding, place);
  compute_.kernels.residual(compute_.context, 1, sum, 1, place, sum);
}

void VisionPass::EmbedBackward(ConstMatrix patches, ConstMatrix dsum,
                               const VisionTensors<Matrix>& gradients) const {
  const Workspace::Frame frame(compute_.context.scratch);
  const TrainingKernels& training = *compute_.training;
  std::vector<int32_t> positions;
  for (int64_t row = 0; row < rows(); ++row) {
    positions.push_back(static_cast<int32_t>(row % tokens_));
  }
  training.embedding_backward(compute_.context, positions, dsum, gradients.position_embedding);
  const Matrix dclass = Allocate(tiles_, config_.width);
  compute_.kernels.gather_rows(compute_.context, dsum, std::span(starts_).first(starts_.size() - 1),
                               dclass);
  training.add_bias_backward(compute_.context, dclass, Flat(gradients.class_embedding));
  const Matrix dpatches = Allocate(patches.rows, config_.width);
  compute_.kernels.gather_rows(compute_.context, dsum, patch_rows_, dpatches);
  training.linear_backward_weight(compute_.context, patches, dpatches, gradients.patch_embedding);
}

VisionActivations VisionPass::Allocate(bool keep, Matrix output) const {
  VisionActivations a;
  const int64_t width = config_.width;
  a.attention_input = Allocate(rows(), width);
  a.queries = Allocate(rows(), width);
  a.keys = Allocate(rows(), width);
  a.values = Allocate(rows(), width);
  a.wide = Allocate(rows(), config_.ffn_size);
  a.attended = keep ? Allocate(rows(), width) : a.attention_input;
  if (keep) a.log_sums = Allocate(rows(), config_.heads);
  a.middle = keep ? Allocate(rows(), width) : output;
  a.mlp_input = keep ? Allocate(rows(), width) : a.attention_input;
  a.active = keep ? Allocate(rows(), config_.ffn_size) : a.wide;
  return a;
}

void VisionPass::Layer(const VisionLayerWeights& layer, ConstMatrix input, Matrix output,
                       const VisionActivations& a) const {
  const Workspace::Frame frame(compute_.context.scratch);
  const Matrix branch = Allocate(rows(), config_.width);
  Norm(input, layer.attention_norm, layer.attention_norm_bias, a.attention_input);
  compute_.kernels.linear(compute_.context, a.attention_input,
                          {{layer.query, a.queries}, {layer.key, a.keys}, {layer.value, a.values}});
  compute_.kernels.add_bias(compute_.context, a.queries, layer.query_bias, a.queries);
  compute_.kernels.add_bias(compute_.context, a.keys, layer.key_bias, a.keys);
  compute_.kernels.add_bias(compute_.context, a.values, layer.value_bias, a.values);
  compute_.kernels.bidirectional_attention(compute_.context, AttentionOf(a), a.attended,
                                           a.log_sums);
  Linear(a.attended, layer.attention_output, layer.attention_output_bias, branch);
  compute_.kernels.residual(compute_.context, 1, input, 1, branch, a.middle);
  Norm(a.middle, layer.mlp_norm, layer.mlp_norm_bias, a.mlp_input);
  compute_.kernels.linear(compute_.context, a.mlp_input, {{layer.up, a.wide}});
  compute_.kernels.bias_gelu(compute_.context, a.wide, layer.up_bias, a.active);
  Linear(a.active, layer.down, layer.down_bias, branch);
  compute_.kernels.residual(compute_.context, 1, a.middle, 1, branch, output);
}

void VisionPass::LayerBackward(const VisionLayerWeights& layer, ConstMatrix input,
                               const VisionActivations& a, Matrix dhidden,
                               const VisionLayerTensors<Matrix>& gradients) const {
  const Workspace::Frame frame(compute_.context.scratch);
  const TrainingKernels& training = *compute_.training;
  const int64_t width = config_.width;
  const Matrix dinput = Allocate(rows(), width);  // of the norm before a branch
  {
    const Workspace::Frame mlp(compute_.context.scratch);
    const Matrix dwide = Allocate(rows(), config_.ffn_size);
    LinearBackward(a.active, layer.down, dhidden, false, dwide, gradients.down,
                   gradients.down_bias);
    training.bias_gelu_backward(compute_.context, a.wide, layer.up_bias, dwide, dwide,
                                Flat(gradients.up_bias));
    training.linear_backward_weight(compute_.context, a.mlp_input, dwide, gradients.up);
    training.linear_backward_input(compute_.context, dwide, layer.up, false, dinput);
  }
  NormBackward(a.middle, layer.mlp_norm, dinput, dhidden, dhidden, gradients.mlp_norm,
               gradients.mlp_norm_bias);
  const Matrix dattended = Allocate(rows(), width);
  LinearBackward(a.attended, layer.attention_output, dhidden, false, dattended,
                 gradients.attention_output, gradients.attention_output_bias);
  const Matrix dqueries = Allocate(rows(), width);
  const Matrix dkeys = Allocate(rows(), width);
  const Matrix dvalues = Allocate(rows(), width);
  training.bidirectional_attention_backward(compute_.context, AttentionOf(a), a.attended,
                                            a.log_sums, dattended, dqueries, dkeys, dvalues);
  LinearBackward(a.attention_input, layer.query, dqueries, false, dinput, gradients.query,
                 gradients.query_bias);
  LinearBackward(a.attention_input, layer.key, dkeys, true, dinput, gradients.key,
                 gradients.key_bias);
  LinearBackward(a.attention_input, layer.value, dvalues, true, dinput, gradients.value,
                 gradients.value_bias);
  NormBackward(input, layer.attention_norm, dinput, dhidden, dhidden, gradients.attention_norm,
               gradients.attention_norm_bias);
}

void VisionPass::NormBackward(ConstMatrix x, const WeightMatrix& weight, ConstMatrix dy,
                              ConstMatrix skip, Matrix dx, const Matrix& dweight,
                              const Matrix& dbias) const {
  compute_.training->layer_norm_backward(compute_.context, x, weight, config_.norm_epsilon, dy,
                                         skip, dx, Flat(dweight), Flat(dbias));
}

void VisionPass::Linear(ConstMatrix x, const WeightMatrix& weight, const WeightMatrix& bias,
                        Matrix y) const {
  compute_.kernels.linear(compute_.context, x, {{weight, y}});
  compute_.kernels.add_bias(compute_.context, y, bias, y);
}

void VisionPass::LinearBackward(ConstMatrix x, const WeightMatrix& weight, ConstMatrix dy, bool add,
                                Matrix dx, const Matrix& dweight, const Matrix& dbias) const {
  compute_.training->add_bias_backward(compute_.context, dy, Flat(dbias));
  compute_.training->linear_backward_weight(compute_.context, x, dy, dweight);
  compute_.training->linear_backward_input(compute_.context, dy, weight, add, dx);
}

void ProjectForward(const VisionWeights& weights, const Compute& compute, ConstMatrix x,
                    const ProjectorActivations& a, Matrix out) {
  compute.kernels.linear(compute.context, x, {{weights.projector_in, a.wide}});
  compute.kernels.bias_gelu(compute.context, a.wide, weights.projector_in_bias, a.active);
  compute.kernels.linear(compute.context, a.active, {{weights.projector_out, out}});
  compute.kernels.add_bias(compute.context, out, weights.projector_out_bias, out);
}

void ProjectBackward(const VisionWeights& weights, const Compute& compute, ConstMatrix x,
                     const ProjectorActivations& a, Matrix dout, Matrix dx,
                     const VisionTensors<Matrix>& gradients) {
  const Workspace::Frame frame(compute.context.scratch);
  const TrainingKernels& training = *compute.training;
  const Matrix dwide = compute.context.scratch.AllocateMatrix(a.wide.rows, a.wide.cols);
  training.add_bias_backward(compute.context, dout, Flat(gradients.projector_out_bias));
  training.linear_backward_weight(compute.context, a.active, dout, gradients.projector_out);
  training.linear_backward_input(compute.context, dout, weights.projector_out, false, dwide);
  training.bias_gelu_backward(compute.context, a.wide, weights.projector_in_bias, dwide, dwide,
                              Flat(gradients.projector_in_bias));
  training.linear_backward_weight(compute.context, x, dwide, gradients.projector_in);
  if (dx.rows == 0) return;
  training.linear_backward_input(compute.context, dwide, weights.projector_in, false, dx);
}

}  // namespace fulmen
