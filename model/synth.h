// Models of random weights, for measuring and testing without a checkpoint.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "model/config.h"
#include "model/folder_writer.h"
#include "model/tensor_table.h"

namespace fulmen {

// Layer i is softmax when i + 1 is a multiple of `softmax_every`; 0: none is.
std::vector<LayerKind> LayerPattern(int64_t layers, int64_t softmax_every);
// DeepNorm's residual weight, (2 * layers)^(1/4), for every kind of branch.
void SetDeepNorm(Config& config);

// Geometries by name; those of "vl-" have a vision half beside the text half of another.
std::vector<std::string> PresetNames();
Result<Config> PresetConfig(std::string_view name);

// Values close to a normal distribution with mean 0 and the given deviation, at most 3.47 of them
// away. Element i of the stream depends on nothing but `stream` and i = first, first + 1, ..., so
// any split of the work gives the same bits. `type` is F32, BF16 or F16; `first` is a multiple of
// kRandomBlock.
inline constexpr int64_t kRandomBlock = int64_t{1} << 16;
void FillRandom(DType type, uint64_t stream, int64_t first, int64_t count, float deviation,
                std::byte* out);

// The stream of a tensor, and the deviation its values should have: that of 1/sqrt(fan-in), but 1
// for the embedding and 0.02 for vectors of the vision half.
uint64_t RandomStreamOf(uint64_t seed, const std::string& name);
float RandomDeviation(const TensorRow& row, int64_t fan_in);
// Weights of norms, which are all one.
bool IsNorm(const TensorRow& row);
// Ones: what norms hold. `type` is F32, BF16 or F16.
void FillOnes(DType type, int64_t count, std::byte* out);

struct SynthOptions : ModelFolder {
  uint64_t seed = 0;
};

// Writes a model into `folder` as WriteModelFiles() does. Norms are one, all else is random with
// deviation 1/sqrt(fan-in) (1 for the embedding).
Status WriteRandomModel(const Config& config, const SynthOptions& options,
                        const std::string& folder, ThreadPool& pool,
                        const std::function<bool(size_t)>& progress);

// Bytes WriteRandomModel writes as weights.
size_t RandomModelBytes(const Config& config, DType dtype);

}  // namespace fulmen
