#include "quantize/calibrate.h"

#include <algorithm>

#include "model/input_squares.h"

namespace fulmen {

Result<ImportanceMatrix> Calibrate(const Model& model, const Compute& compute,
                                   std::span<const int32_t> ids, int64_t chunk,
                                   const std::function<void(int64_t)>& progress,
                                   const std::atomic<bool>* cancel) {
  if (ids.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "calibration needs at least 1 token, found none");
  }
  InputSquares squares(model, compute);
  int64_t chunks = 0;
  while (!ids.empty()) {
    if (cancel != nullptr && cancel->load()) return Fail(ErrorCode::kCancelled, "interrupted");
    const size_t count = std::min(ids.size(), static_cast<size_t>(chunk));
    FULMEN_TRY(squares.Read(ids.first(count)));
    ids = ids.subspan(count);
    ++chunks;
    progress(static_cast<int64_t>(count));
  }
  ImportanceMatrix importance = MakeImportance(model, squares);
  importance.chunks = chunks;
  importance.chunk_size = chunk;
  return importance;
}

}  // namespace fulmen
