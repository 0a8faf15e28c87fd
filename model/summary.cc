#include "model/summary.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "base/check.h"
#include "base/dequantize.h"
#include "base/machine.h"
#include "base/quant_blocks.h"
#include "model/cost.h"
#include "model/state.h"
#include "model/weights.h"

namespace fulmen {
namespace {

constexpr int64_t kPieceElements = int64_t{1} << 20;  // whole blocks of every type

Status SummarizeIndex(const std::string& path, const CheckpointIndex& index,
                      ModelSummary& summary) {
  const Config& config = summary.config;
  std::set<std::string_view> names;
  for (const auto& [name, shard] : index.shard_of) names.insert(names.end(), name);
  FULMEN_TRY(ResolveTensors(config, names, path));
  summary.tensors = static_cast<int64_t>(names.size());
  const auto total = static_cast<int64_t>(index.total_size);
  summary.weights_bytes = total;
  // Routers may have been left in float32, as in the published models.
  const auto routers =
      config.layer_count() * ElementCount(TensorShape(RowOf(&LayerWeights::router), config));
  auto& types = summary.bytes_per_type;
  if (total == 2 * summary.parameters) {
    types["16-bit"] = total;
  } else if (total == 4 * summary.parameters) {
    types["32-bit"] = total;
  } else if (total == 2 * summary.parameters + 2 * routers) {
    types["32-bit"] = 4 * routers;
    types["16-bit"] = total - 4 * routers;
  } else {
    types["unknown"] = total;
  }
  return {};
}

Status SummarizeFiles(const ModelFiles& files, ModelSummary& summary) {
  FULMEN_ASSIGN(const Checkpoint checkpoint, files.OpenTensors());
  FULMEN_TRY(BindWeights(summary.config, checkpoint, files.where()));
  summary.weights_present = true;
  summary.tensors = static_cast<int64_t>(checkpoint.tensors().size());
  summary.weights_bytes = static_cast<int64_t>(checkpoint.total_bytes());
  for (const auto& [name, view] : checkpoint.tensors()) {
    summary.bytes_per_type[std::string(DTypeName(view.dtype))] +=
        static_cast<int64_t>(view.bytes());
  }
  return {};
}

void CountNeeds(ModelSummary& summary) {
  const Config& config = summary.config;
  summary.softmax_layers =
      std::count(config.layers.begin(), config.layers.end(), LayerKind::kSoftmax);
  summary.lightning_layers = config.layer_count() - summary.softmax_layers;
  summary.parameters = ParameterCount(config);
  summary.active_parameters = ActiveParameterCount(config);
  summary.active_parameters_with_embeddings =
      summary.active_parameters +
      (config.tied_embeddings ? 1 : 2) * config.vocab_size * config.hidden_size;
  summary.kv_bytes_per_token = KvBytesPerToken(config, DType::kF32);
  summary.kv_bytes_per_token_bf16 = KvBytesPerToken(config, DType::kBF16);
  summary.state_bytes = LightningMemoryBytes(config);
}

// An element's bits without the sign, and the bits of infinity: NaN is above, infinity equal.
template <class Bits, Bits kMagnitude, Bits kInfinity>
void CountNonFinite(const std::byte* data, int64_t count, NonFiniteTensor& found) {
  const auto* elements = reinterpret_cast<const Bits*>(data);
  int64_t nans = 0;
  int64_t infinities = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto magnitude = static_cast<Bits>(elements[i] & kMagnitude);
    nans += magnitude > kInfinity ? 1 : 0;
    infinities += magnitude == kInfinity ? 1 : 0;
  }
  found.nans += nans;
  found.infinities += infinities;
}

// Scales that are not finite make values that are not.
void CountInBlocks(DType dtype, const std::byte* data, int64_t count, NonFiniteTensor& found) {
  std::array<float, 16 * kSuperBlock> values;
  constexpr auto kMost = static_cast<int64_t>(values.size());
  for (int64_t first = 0; first < count; first += kMost) {
    const int64_t some = std::min(kMost, count - first);
    DequantizeBlocks(dtype, data + BytesOf(dtype, first), some, values.data());
    CountNonFinite<uint32_t, 0x7fffffff, 0x7f800000>(
        reinterpret_cast<const std::byte*>(values.data()), some, found);
  }
}

void CountPiece(DType dtype, const std::byte* data, int64_t count, NonFiniteTensor& found) {
  if (IsQuantized(dtype)) return CountInBlocks(dtype, data, count, found);
  switch (dtype) {
    case DType::kF32:
      return CountNonFinite<uint32_t, 0x7fffffff, 0x7f800000>(data, count, found);
    case DType::kF16:
      return CountNonFinite<uint16_t, 0x7fff, 0x7c00>(data, count, found);
    case DType::kBF16:
      return CountNonFinite<uint16_t, 0x7fff, 0x7f80>(data, count, found);
    default:
      FULMEN_CHECK(false, "{} is no type of weights", DTypeName(dtype));
  }
}

}  // namespace

Result<ModelSummary> SummarizeModel(const ModelFiles& files) {
  ModelSummary summary;
  FULMEN_ASSIGN(summary.config, ReadConfig(files));
  CountNeeds(summary);
  FULMEN_ASSIGN(const std::optional<CheckpointIndex> index, files.ReadIndexOfMissing());
  FULMEN_TRY(index ? SummarizeIndex(files.path(), *index, summary)
                   : SummarizeFiles(files, summary));

  summary.memory_bytes = AvailableMemory();
  const int64_t left = summary.memory_bytes - summary.weights_bytes - summary.state_bytes;
  if (left > 0) {
    const int64_t per_token = std::max<int64_t>(summary.kv_bytes_per_token, 1);
    summary.context_that_fits = std::min(left / per_token, summary.config.max_position);
  }
  return summary;
}

std::vector<NonFiniteTensor> FindNonFinite(const Checkpoint& checkpoint, ThreadPool& pool,
                                           const std::function<void(size_t)>& progress) {
  struct Piece {
    const TensorView* view;
    int64_t first;
    int64_t count;
    NonFiniteTensor found;
  };
  std::vector<Piece> pieces;
  for (const auto& [name, view] : checkpoint.tensors()) {
    if (!IsWeightType(view.dtype)) continue;
    for (int64_t first = 0; first < view.elements(); first += kPieceElements) {
      pieces.push_back(
          {&view, first, std::min(kPieceElements, view.elements() - first), {name, 0, 0}});
    }
  }
  pool.ParallelFor(static_cast<int64_t>(pieces.size()), [&](int64_t i, int) {
    Piece& piece = pieces[static_cast<size_t>(i)];
    const DType dtype = piece.view->dtype;
    CountPiece(dtype, piece.view->data + BytesOf(dtype, piece.first), piece.count, piece.found);
    progress(BytesOf(dtype, piece.count));
  });
  std::vector<NonFiniteTensor> result;
  for (const Piece& piece : pieces) {
    if (piece.found.nans + piece.found.infinities == 0) continue;
    if (result.empty() || result.back().name != piece.found.name) {
      result.push_back(piece.found);
    } else {
      result.back().nans += piece.found.nans;
      result.back().infinities += piece.found.infinities;
    }
  }
  return result;
}

}  // namespace fulmen
