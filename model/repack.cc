#include "model/repack.h"

#include <vector>

#include "base/mapped_file.h"

namespace fulmen {
namespace {

// Read from the disk while the weights before are repacked.
constexpr size_t kFetchedAhead = size_t{256} << 20;

// Calls visit with every matrix that is multiplied with; tied to the embedding, the head as well.
template <class Weights, class Visit>
void ForEachFactor(const Config& config, Weights& weights, const Visit& visit) {
  ForEachTensor(config, [&](const TensorRow& row, int64_t layer, int64_t expert) {
    if (row.Is(&ModelWeights::token_embedding) || row.Is(&VisionWeights::position_embedding)) {
      return;
    }
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
  std::vector<WeightMatrix*> factors;
  ForEachFactor(model.config, model.weights, [&](WeightMatrix& weight) {
    if (compute.kernels.repacked_bytes(compute.context, weight) > 0) factors.push_back(&weight);
  });
  size_t fetched = 0;        // factors whose pages are on their way
  size_t fetched_bytes = 0;  // of those that are not repacked yet
  for (WeightMatrix* weight : factors) {
    for (; fetched < factors.size() && fetched_bytes < kFetchedAhead; ++fetched) {
      FetchMappedPages(factors[fetched]->data, factors[fetched]->bytes());
      fetched_bytes += factors[fetched]->bytes();
    }
    const WeightMatrix stored = *weight;
    const size_t bytes = compute.kernels.repacked_bytes(compute.context, stored);
    auto& memory = model.repacked.emplace_back(bytes);
    *weight = compute.kernels.repack(compute.context, stored, memory.data());
    fetched_bytes -= stored.bytes();
    ReturnMappedPages(stored.data, stored.bytes());
    progress(bytes);
  }
}

}  // namespace fulmen
