// The vision half of a model: tiles of an image to the vectors that stand for it among those of
// tokens. Written over the kernel table, as the forward pass of text is.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/matrix.h"
#include "base/memory.h"
#include "images/geometry.h"
#include "images/tiles.h"
#include "kernels/compute.h"
#include "model/weights.h"

namespace fulmen {

// The tower over whole tiles: patches [tiles * P, 3 * patch * patch], as WriteTilePatches() of
// images/tiles.h gives them, to `out` [tiles * P, width], the output of the last layer without the
// class token's. A tile's bits depend on it alone. `states`, where it is not empty, gets the input
// of the first layer and the output of every one, [layers + 1, tiles * (1 + P), width]. Radford et
// al., "Learning Transferable Visual Models From Natural Language Supervision" (2021), section 2.4;
// Dosovitskiy et al., "An Image is Worth 16x16 Words" (2020), eq. 1 to 3, without the last norm.
void VisionTower(const Model& model, const Compute& compute, ConstMatrix patches, Matrix out,
                 std::span<float> states = {});

// The projector: out [T, hidden] of x [T, width], whatever rows of the tower's output these are.
// MiniMax-01 report, section 5.1.
void Project(const Model& model, const Compute& compute, ConstMatrix x, Matrix out);

// Where rows [first, first + out.size()) of an image's tokens come from: rows of the tower's output
// over its tiles, or kNewline, the learned vector at the end of a row of patches. The thumbnail's
// come first, then what padding left of the tiles, row by row over all of them.
inline constexpr int64_t kNewline = -1;
void FeatureRows(const TileGeometry& geometry, int64_t first, std::span<int64_t> out);

// Those rows themselves: out [rows.size(), hidden], of `features`, the tower's output over all
// tiles of an image.
void PackFeatures(const Model& model, const Compute& compute, ConstMatrix features,
                  std::span<const int64_t> rows, Matrix out);

// The tower's output over the tiles of one image, made some tiles at a time. Not thread safe;
// movable.
class ImageFeatures {
 public:
  ImageFeatures(std::shared_ptr<const TiledImage> image, const VisionConfig& vision,
                MemorySource& memory);

  const TiledImage& image() const { return *image_; }
  int64_t tiles_left() const { return 1 + image_->geometry.tiles - done_; }
  // The next tiles, at most so many.
  void Encode(const Model& model, const Compute& compute, int64_t tiles);
  // [tiles * P, width], in the device's memory; all tiles are there once none are left.
  ConstMatrix matrix() const;

 private:
  struct Free {
    MemorySource* memory;
    void operator()(float* data) const { memory->Free(data); }
  };
  std::shared_ptr<const TiledImage> image_;
  int64_t rows_;
  int64_t width_;
  std::unique_ptr<float, Free> data_;
  int64_t done_ = 0;  // tiles
};

// Floating-point operations of the tower over so many tiles, as in model/cost.h.
double TowerFlops(const VisionConfig& vision, int64_t tiles);

}  // namespace fulmen
