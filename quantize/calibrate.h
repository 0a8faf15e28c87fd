// The importance of a model's columns, measured on a text.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>

#include "base/status.h"
#include "kernels/compute.h"
#include "model/weights.h"
#include "quantize/importance.h"

namespace fulmen {

inline constexpr int64_t kCalibrationChunk = 512;

// Has the model read `ids`, at least one, in chunks of `chunk` tokens, each from an empty state.
// `progress` hears of tokens read. Once `cancel`, looked at between chunks, is true, the error is
// kCancelled.
Result<ImportanceMatrix> Calibrate(const Model& model, const Compute& compute,
                                   std::span<const int32_t> ids, int64_t chunk,
                                   const std::function<void(int64_t)>& progress,
                                   const std::atomic<bool>* cancel = nullptr);

}  // namespace fulmen
