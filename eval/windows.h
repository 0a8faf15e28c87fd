// A text read in windows, and the logits that its tokens were to be predicted from. Internal to
// eval/.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>

#include "base/dtype.h"
#include "base/status.h"
#include "kernels/compute.h"
#include "model/weights.h"

namespace fulmen {

// Who reads.
struct Reader {
  const Model& model;
  DType kv_type = DType::kF32;  // of the keys and values it remembers
};

struct WindowedText {
  std::span<const int32_t> ids;
  int64_t window = 0;                            // tokens; the last may be shorter
  std::function<void(int64_t tokens)> progress;  // hears of tokens read
  const std::atomic<bool>* cancel = nullptr;     // looked at between chunks
};

// Logits [vocab] of each reader, and the token that came.
using ScoreFn = std::function<void(std::span<const std::span<const float>> logits, int32_t target)>;

// Has every one read the text, window by window, each from an empty state. In each, every token
// but the first is scored. Models have one vocabulary. Returns the tokens read, which are fewer
// than all once `cancel` is true. At least two ids and a window of two are needed.
Result<int64_t> ScoreWindows(std::span<const Reader> readers, const Compute& compute,
                             const WindowedText& text, const ScoreFn& score);

}  // namespace fulmen
