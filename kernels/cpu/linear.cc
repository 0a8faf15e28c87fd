#include "kernels/linear.h"

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/register.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include "kernels/cpu/gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// Packs all rows of x.
PackedRows PackRows(KernelContext& context, ConstMatrix x) {
  float* data = context.scratch.Allocate<float>(PackedSize(x.rows, x.cols));
  const PackedRows packed = {data, x.rows, x.cols};
  const auto pack = [&](int64_t tile, int) HWY_ATTR {
    const float* rows[kTileRows];
    const int64_t count = packed.RowsOf(tile);
    for (int64_t r = 0; r < count; ++r) rows[r] = x.row(tile * kTileRows + r);
    PackTile(rows, count, x.cols, data + tile * packed.TileSize());
  };
  ForTasks(context.pool, packed.Tiles(), x.rows * x.cols / LaneCount(), pack);
  return packed;
}

void Linear(KernelContext& context, ConstMatrix x, const TensorView& weight, Matrix y) {
  const int64_t out = weight.rows();
  FULMEN_CHECK(weight.cols() == x.cols && y.cols == out && y.rows == x.rows,
               "linear: x [{}, {}], weight {}, y [{}, {}]", x.rows, x.cols,
               ShapeString(weight.shape), y.rows, y.cols);
  if (x.rows == 0 || out == 0) return;
  if (x.cols == 0) {
    for (int64_t t = 0; t < y.rows; ++t) std::fill_n(y.row(t), out, 0.0F);
    return;
  }
  const Workspace::Frame frame(context.scratch);
  const PackedRows packed = PackRows(context, x);
  const int threads = context.pool.size();
  float* panels = nullptr;
  if (x.rows > kDirectRows) panels = context.scratch.Allocate<float>(threads * kPanelFloats);
  const int64_t rows_per_task = RowsPerTask(x.rows, weight, threads);
  const int64_t row_tasks = CeilDiv(out, rows_per_task);
  // A narrow product is also cut along x, in pieces still worth a panel.
  const int64_t tiles = packed.Tiles();
  const int64_t most_pieces = std::min(CeilDiv(int64_t{2} * threads, row_tasks), CeilDiv(tiles, 8));
  const int64_t tiles_per_task = CeilDiv(tiles, most_pieces);
  const int64_t pieces = CeilDiv(tiles, tiles_per_task);
  const int64_t work = x.rows * out * CeilDiv(x.cols, LaneCount());
  ForTasks(context.pool, row_tasks * pieces, work, [&](int64_t task, int worker) HWY_ATTR {
    const int64_t row = task % row_tasks * rows_per_task;
    const int64_t count = std::min(rows_per_task, out - row);
    const int64_t tile = task / row_tasks * tiles_per_task;
    const int64_t tile_end = std::min(tile + tiles_per_task, tiles);
    Multiply(packed, tile, tile_end, weight, row, count, panels + worker * kPanelFloats,
             y.Cols(row, count));
  });
}

void FillLinear(Kernels& kernels) { kernels.linear = Linear; }

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(FillLinear);
void RegisterLinear(Kernels& kernels) { HWY_DYNAMIC_DISPATCH(FillLinear)(kernels); }

}  // namespace fulmen::cpu
#endif  // HWY_ONCE
