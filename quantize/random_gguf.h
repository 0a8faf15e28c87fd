// Models of random weights as GGUF files, in any mix of types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/config.h"
#include "quantize/gguf_files.h"
#include "quantize/mix.h"

namespace fulmen {

// The file at `path` that a model of `config` becomes, which has the stand-in tokenizer where its
// vocabulary has room for it; and of a model with images the one at MmprojPath(path), whose
// matrices are of the mix's type where that is F32, BF16 or F16, else BF16.
Result<std::vector<GgufFile>> PlanRandomGguf(const Config& config, const Mix& mix,
                                             const std::string& path);

// Writes them as WriteRandomModel() (model/synth.h) writes a folder: norms are one, all else is
// random, the same for the same seed.
Status WriteRandomGguf(const Config& config, std::span<const GgufFile> files, uint64_t seed,
                       ThreadPool& pool, const std::function<bool(size_t)>& progress);

}  // namespace fulmen
