#include "images/resample.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/cpu_targets.h"
#include "images/resample_axis.h"
#include "images/resample_fast.h"

namespace fulmen {
namespace {

uint8_t RoundToByte(int64_t sum) {
  const int64_t half = int64_t{1} << (kWeightBits - 1);
  return static_cast<uint8_t>(std::clamp<int64_t>((sum + half) >> kWeightBits, 0, 255));
}

// out[i] = the weighted sum over window i of what lies `step` bytes apart from `from` on.
void ResizeLine(const ResampleAxis& axis, const uint8_t* from, int64_t step, uint8_t* to,
                int64_t to_step) {
  for (size_t i = 0; i < axis.windows.size(); ++i) {
    const auto [first, count] = axis.windows[i];
    const int32_t* weights = axis.weights_of(static_cast<int64_t>(i));
    int64_t sum = 0;
    for (int64_t j = 0; j < count; ++j) sum += int64_t{weights[j]} * from[(first + j) * step];
    to[static_cast<int64_t>(i) * to_step] = RoundToByte(sum);
  }
}

Image ResizeRows(const Image& image, int64_t width) {
  if (width == image.width) return image;
  const ResampleAxis axis = MakeResampleAxis(image.width, width);
  Image out{width, image.height,
            std::vector<uint8_t>(static_cast<size_t>(width * image.height * 3))};
  for (int64_t y = 0; y < image.height; ++y) {
    for (int64_t c = 0; c < 3; ++c) {
      ResizeLine(axis, image.row(y) + c, 3, out.rgb.data() + y * width * 3 + c, 3);
    }
  }
  return out;
}

void ResizeColumns(const Image& image, MatrixView<uint8_t> out) {
  const int64_t row_bytes = image.width * 3;
  if (out.rows == image.height) {
    for (int64_t y = 0; y < out.rows; ++y) std::copy_n(image.row(y), row_bytes, out.row(y));
    return;
  }
  const ResampleAxis axis = MakeResampleAxis(image.height, out.rows);
  for (int64_t x = 0; x < row_bytes; ++x) {
    ResizeLine(axis, image.rgb.data() + x, row_bytes, out.data + x, out.stride);
  }
}

// FULMEN_CPU_TARGET belongs to the process, so it is read once.
Result<ResizeFunction> Choose() {
  if (cpu::Targets().empty()) return &ResizePlainly;
  FULMEN_ASSIGN(const std::string target, cpu::ChosenTarget());
  return ResizeFor(target);
}

}  // namespace

ImageDigest ResizePlainly(const Image& image, std::span<const MatrixView<uint8_t>> outs) {
  CheckResize(image, outs);
  for (const MatrixView<uint8_t>& out : outs) ResizeColumns(ResizeRows(image, out.cols / 3), out);
  return DigestOf(image);
}

void CheckResize(const Image& image, std::span<const MatrixView<uint8_t>> outs) {
  FULMEN_CHECK(image.width > 0 && image.height > 0 &&
                   image.rgb.size() == static_cast<size_t>(image.width * image.height * 3),
               "an image of {} x {} in {} bytes", image.width, image.height, image.rgb.size());
  for (const MatrixView<uint8_t>& out : outs) {
    FULMEN_CHECK(out.rows > 0 && out.cols > 0 && out.cols % 3 == 0, "into [{}, {}]", out.rows,
                 out.cols);
  }
}

Result<ResizeFunction> ResizeFor(std::string_view target) {
  FULMEN_ASSIGN(const cpu::Target found, cpu::FindTarget(target));
  const cpu::ScopedTarget scope(found.bit);
  return FastResize();
}

Result<ImageDigest> Resize(const Image& image, std::span<const MatrixView<uint8_t>> outs) {
  static const Result<ResizeFunction> chosen = Choose();
  if (!chosen) return tl::unexpected<Error>(chosen.error());
  return (*chosen)(image, outs);
}

}  // namespace fulmen
