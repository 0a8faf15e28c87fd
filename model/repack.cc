#include "model/repack.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/mapped_file.h"
#include "base/memory.h"

namespace fulmen {
namespace {

// Read from the disk while the weights before are repacked.
constexpr size_t kFetchedAhead = size_t{256} << 20;

// Calls visit with every matrix that is multiplied with; tied to the embedding, the head as well.
// Norms and biases are vectors.
template <class Weights, class Visit>
void ForEachFactor(const Config& config, Weights& weights, const Visit& visit) {
  ForEachTensor(config, [&](const TensorRow& row, int64_t layer, int64_t expert) {
    if (row.dims[1] == Dim::kNone || row.Is(&ModelWeights::token_embedding) ||
        row.Is(&VisionWeights::position_embedding)) {
      return;
    }
    visit(TensorAt<WeightMatrix>(weights, row, layer, expert));
  });
  if (config.tied_embeddings) visit(weights.head);
}

// Memory for many matrices, in blocks large enough for the largest pages: of a matrix by itself,
// small ones would get small pages, and reading them waits for the addresses.
class RepackedMemory {
 public:
  // `bytes` is what all of them take, aligned as below.
  RepackedMemory(Model& model, size_t bytes) : model_(model), to_come_(bytes) {}

  std::byte* Allocate(size_t bytes) {
    bytes = Aligned(bytes);
    if (bytes > left_) {
      left_ = std::max(bytes, std::min(to_come_, kBlock));
      next_ = model_.repacked.emplace_back(left_).data();
    }
    to_come_ -= bytes;
    left_ -= bytes;
    return std::exchange(next_, next_ + bytes);
  }
  static size_t Aligned(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

 private:
  static constexpr size_t kLine = 64;
  static constexpr size_t kBlock = size_t{256} << 20;
  Model& model_;
  size_t to_come_;
  size_t left_ = 0;
  std::byte* next_ = nullptr;
};

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
  size_t all = 0;
  ForEachFactor(model.config, model.weights, [&](WeightMatrix& weight) {
    const size_t bytes = compute.kernels.repacked_bytes(compute.context, weight);
    if (bytes == 0) return;
    factors.push_back(&weight);
    all += RepackedMemory::Aligned(bytes);
  });
  RepackedMemory memory(model, all);
  size_t fetched = 0;        // factors whose pages are on their way
  size_t fetched_bytes = 0;  // of those that are not repacked yet
  for (WeightMatrix* weight : factors) {
    for (; fetched < factors.size() && fetched_bytes < kFetchedAhead; ++fetched) {
      FetchMappedPages(factors[fetched]->data, factors[fetched]->bytes());
      fetched_bytes += factors[fetched]->bytes();
    }
    const WeightMatrix stored = *weight;
    const size_t bytes = compute.kernels.repacked_bytes(compute.context, stored);
    *weight = compute.kernels.repack(compute.context, stored, memory.Allocate(bytes));
    fetched_bytes -= stored.bytes();
    ReturnMappedPages(stored.data, stored.bytes());
    progress(bytes);
  }
}

}  // namespace fulmen
