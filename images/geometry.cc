#include "images/geometry.h"

#include <algorithm>

#include "base/check.h"

namespace fulmen {
namespace {

// The grid that keeps most of the image's pixels, and of those the one that wastes least; the first
// of equals. The doubles and their truncation are part of the rule (exact arithmetic chooses
// otherwise for some sizes), so this folder is compiled without fused products and sums.
Size ChooseGrid(const TileRules& rules, Size size) {
  Size best;
  int64_t most_kept = 0;
  int64_t least_waste = 0;
  const auto width = static_cast<double>(size.width);
  const auto height = static_cast<double>(size.height);
  for (const Size& grid : rules.pinpoints) {
    const double scale = std::min(static_cast<double>(grid.width) / width,
                                  static_cast<double>(grid.height) / height);
    const auto kept_width = static_cast<int64_t>(width * scale);
    const auto kept_height = static_cast<int64_t>(height * scale);
    const int64_t kept = std::min(kept_width * kept_height, size.width * size.height);
    const int64_t waste = grid.width * grid.height - kept;
    if (best == Size{} || kept > most_kept || (kept == most_kept && waste < least_waste)) {
      best = grid;
      most_kept = kept;
      least_waste = waste;
    }
  }
  return best;
}

bool IsWider(Size a, Size b) {
  return static_cast<double>(a.width) / static_cast<double>(a.height) >
         static_cast<double>(b.width) / static_cast<double>(b.height);
}

Size FitInto(Size grid, Size size) {
  if (IsWider(size, grid)) return {grid.width, grid.width * size.height / size.width};
  return {grid.height * size.width / size.height, grid.height};
}

// By the image's shape alone: it may keep patches that are partly black, or none at all. An odd row
// or column too many stays.
void Unpad(TileGeometry& plan) {
  const Size map{plan.grid.width / plan.patch, plan.grid.height / plan.patch};
  if (IsWider(plan.image, map)) {
    plan.feature_top = (map.height - plan.image.height * map.width / plan.image.width) / 2;
  } else {
    plan.feature_left = (map.width - plan.image.width * map.height / plan.image.height) / 2;
  }
  plan.feature_rows = map.height - 2 * plan.feature_top;
  plan.feature_cols = map.width - 2 * plan.feature_left;
}

}  // namespace

Status CheckTileRules(const TileRules& rules, const std::string& where) {
  constexpr int64_t kLongestSide = 1 << 16;
  if (rules.patch < 1 || rules.tile < 1 || rules.tile > kLongestSide ||
      rules.tile % rules.patch != 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: tiles of {} pixels a side cannot be cut into patches of {}", where, rules.tile,
                rules.patch);
  }
  if (rules.pinpoints.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "{}: there is no grid to put images into", where);
  }
  for (const Size& grid : rules.pinpoints) {
    const auto whole = [&](int64_t side) {
      return side > 0 && side <= kLongestSide && side % rules.tile == 0;
    };
    if (!whole(grid.width) || !whole(grid.height)) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: a grid of {} x {} pixels cannot be cut into tiles of {} a side", where,
                  grid.width, grid.height, rules.tile);
    }
  }
  return {};
}

Result<TileGeometry> PlanTiles(const TileRules& rules, Size size) {
  FULMEN_CHECK(size.width > 0 && size.height > 0 && size.width <= INT32_MAX &&
                   size.height <= INT32_MAX && !rules.pinpoints.empty(),
               "an image of {} x {} for {} grids", size.width, size.height, rules.pinpoints.size());
  TileGeometry plan{.tile = rules.tile, .patch = rules.patch, .image = size};
  plan.grid = ChooseGrid(rules, size);
  plan.resized = FitInto(plan.grid, size);
  if (plan.resized.width == 0 || plan.resized.height == 0) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "an image of {} x {} pixels is too thin: in a grid of {} x {} nothing is left of it",
        size.width, size.height, plan.grid.width, plan.grid.height);
  }
  plan.offset_x = (plan.grid.width - plan.resized.width) / 2;
  plan.offset_y = (plan.grid.height - plan.resized.height) / 2;
  plan.tiles = (plan.grid.width / plan.tile) * (plan.grid.height / plan.tile);
  Unpad(plan);
  plan.tokens = plan.patches_per_tile() + plan.feature_rows * (plan.feature_cols + 1);
  return plan;
}

}  // namespace fulmen
