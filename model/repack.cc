#include "model/repack.h"

#include "base/mapped_file.h"

namespace fulmen {
namespace {

// Calls visit with every matrix that is multiplied with; tied to the embedding, the head as well.
template <class Weights, class Visit>
void ForEachFactor(const Config& config, Weights& weights, const Visit& visit) {
  ForEachTensor(config, [&](const TensorRow& row, int64_t layer, int64_t expert) {
    if (row.Is(&ModelWeights::token_embedding)) return;
    visit(TensorAt<WeightMatrix>(weights, row, layer, expert));
  });
  if (config.tied_embeddings) visit(weights.head);
}

}  // namespace

size_t RepackedBytes(const Model& model, const Compute& compute) {
  size_t bytes = 0;
  ForEachFactor(model.config, model.weights, [&](const WeightMatrix& weight) {
    bytes += compute.kernels.repacked_bytes(compute.context, weight);
  });
  return bytes;
}

void RepackWeights(Model& model, const Compute& compute,
                   const std::function<void(size_t)>& progress) {
  ForEachFactor(model.config, model.weights, [&](WeightMatrix& weight) {
    const size_t bytes = compute.kernels.repacked_bytes(compute.context, weight);
    if (bytes == 0) return;
    auto& memory = model.repacked.emplace_back(bytes);
    const WeightMatrix stored = weight;
    weight = compute.kernels.repack(compute.context, stored, memory.data());
    ReturnMappedPages(stored.data, stored.bytes());
    progress(bytes);
  });
}

}  // namespace fulmen
