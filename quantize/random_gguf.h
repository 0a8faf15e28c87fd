// Models of random weights as GGUF files, in any mix of types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/config.h"
#include "quantize/mix.h"

namespace fulmen {

// As WriteRandomModel() (model/synth.h) writes a folder: norms are one, all else is random, the
// same for the same seed. The file holds the stand-in tokenizer where its vocabulary has room for
// it, and gets its name once whole.
Status WriteRandomGguf(const Config& config, const Mix& mix, uint64_t seed, const std::string& path,
                       ThreadPool& pool, const std::function<bool(size_t)>& progress);

}  // namespace fulmen
