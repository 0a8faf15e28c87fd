#include "kernels/linear.h"

#include <numeric>
#include <span>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/register.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include <hwy/highway.h>

#include "kernels/cpu/multiply-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fulmen::cpu::HWY_NAMESPACE {
namespace {

// Packs all rows of x.
PackedRows PackRows(KernelContext& context, ConstMatrix x, ActivationFormat format,
                    ByteProducts products) {
  auto* data = context.scratch.Allocate<std::byte>(PackedBytes(format, x.rows, x.cols));
  const PackedRows packed = {format, products, data, x.rows, x.cols};
  const auto pack = [&](int64_t tile, int) HWY_ATTR {
    const float* rows[kMostTileRows];
    for (int64_t r = 0; r < packed.RowsOf(tile); ++r) rows[r] = x.row(tile * packed.TileRows() + r);
    PackColumns(rows, 0, x.cols, packed, tile);
  };
  ForTasks(context.pool, packed.Tiles(), x.rows * x.cols / LaneCount(), pack);
  return packed;
}

// The tasks of one product, each some rows of its weight, behind those of the products before it.
struct RowTasks {
  PackedRows x;
  int64_t first;
  int64_t rows_per_task;
};

// x in the format that a product wants, shared with the products before it that want the same.
PackedRows PackFor(KernelContext& context, ConstMatrix x, const WeightMatrix& weight,
                   ByteProducts products, std::span<const RowTasks> before) {
  const ActivationFormat format = FormatFor(weight, products);
  for (const RowTasks& other : before) {
    if (other.x.format == format) return other.x;
  }
  return PackRows(context, x, format, products);
}

// All products in one loop, so that small ones do not wait for the end of a large one.
void MultiplyAll(KernelContext& context, ConstMatrix x,
                 std::initializer_list<Projection> projections, int64_t out,
                 ByteProducts products) {
  const Workspace::Frame frame(context.scratch);
  const int threads = context.pool.size();
  const std::span all(projections);
  const std::span cuts(context.scratch.Allocate<RowTasks>(static_cast<int64_t>(all.size())),
                       all.size());
  int64_t row_tasks = 0;
  for (size_t p = 0; p < all.size(); ++p) {
    const WeightMatrix& weight = all[p].weight;
    cuts[p] = {PackFor(context, x, weight, products, cuts.first(p)), row_tasks,
               RowsPerTask(x.rows, weight, out, threads)};
    row_tasks += CeilDiv(weight.rows, cuts[p].rows_per_task);
  }
  // Narrow products are also cut along x, in pieces still worth a panel.
  int64_t unit = 1;  // rows that are whole tiles of every format
  for (const RowTasks& cut : cuts) unit = std::lcm(unit, cut.x.TileRows());
  const int64_t most_pieces =
      std::min(CeilDiv(int64_t{2} * threads, row_tasks), CeilDiv(x.rows, 8 * kTileRows));
  const int64_t rows_per_piece = RoundUp(CeilDiv(x.rows, most_pieces), unit);
  const int64_t pieces = CeilDiv(x.rows, rows_per_piece);
  const int64_t work = x.rows * out * CeilDiv(x.cols, LaneCount());
  // Which of the products a task is of, and from which row on.
  const auto product_of = [&](int64_t task) {
    const int64_t row_task = task % row_tasks;
    size_t p = all.size() - 1;
    while (cuts[p].first > row_task) --p;
    return std::pair(p, (row_task - cuts[p].first) * cuts[p].rows_per_task);
  };
  const auto node_of = [&](int64_t task) {
    const auto [p, row] = product_of(task);
    return context.pool.NodeOf(row, all[p].weight.rows);
  };
  ForTasks(context.pool, row_tasks * pieces, work, node_of, [&](int64_t task, int) HWY_ATTR {
    const auto [p, row] = product_of(task);
    const auto& [weight, y] = all[p];
    const int64_t rows = std::min(cuts[p].rows_per_task, weight.rows - row);
    const int64_t first = task / row_tasks * rows_per_piece;
    const int64_t end = std::min(first + rows_per_piece, x.rows);
    const int64_t tile_rows = cuts[p].x.TileRows();
    Multiply(cuts[p].x, {first / tile_rows, CeilDiv(end, tile_rows)}, weight.Rows(row, rows),
             y.Cols(row, rows));
  });
}

template <ByteProducts kProducts>
void Linear(KernelContext& context, ConstMatrix x, std::initializer_list<Projection> projections) {
  int64_t out = 0;
  for (const auto& [weight, y] : projections) {
    FULMEN_CHECK(weight.cols == x.cols && y.cols == weight.rows && y.rows == x.rows,
                 "linear: x [{}, {}], weight {}, y [{}, {}]", x.rows, x.cols, Describe(weight),
                 y.rows, y.cols);
    out += weight.rows;
    if (x.cols > 0) continue;
    for (int64_t t = 0; t < y.rows; ++t) std::fill_n(y.row(t), y.cols, 0.0F);
  }
  if (x.rows > 0 && x.cols > 0 && out > 0) MultiplyAll(context, x, projections, out, kProducts);
}

void FillLinear(Kernels& kernels, ByteProducts products) {
  VisitProducts(products, [&]<ByteProducts kProducts>() {
    kernels.linear = kernels.router_logits = Linear<kProducts>;
  });
}

}  // namespace
}  // namespace fulmen::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fulmen::cpu {

HWY_EXPORT(FillLinear);
void RegisterLinear(Kernels& kernels, ByteProducts products) {
  HWY_DYNAMIC_DISPATCH(FillLinear)(kernels, products);
}

}  // namespace fulmen::cpu
#endif  // HWY_ONCE
