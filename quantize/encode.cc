#include "quantize/encode.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "base/quant_blocks.h"
#include "quantize/encode_blocks.h"

namespace fulmen {
namespace {

// The least that a column counts, beside the mean: those that never mattered still get values.
constexpr float kLeastImportance = 1e-3F;
// And beside the greatest: else one column alone would leave the others' least squares to rounding.
constexpr float kLeastOfGreatest = 1e-6F;

// Scaled to a mean of 1, which keeps products of weights within float32.
std::vector<float> Normalized(std::span<const float> importance) {
  const double sum = std::accumulate(importance.begin(), importance.end(), 0.0);
  if (!(sum > 0)) return {};
  const double mean = sum / static_cast<double>(importance.size());
  const double greatest = *std::max_element(importance.begin(), importance.end()) / mean;
  const float least = std::max(kLeastImportance, kLeastOfGreatest * static_cast<float>(greatest));
  std::vector<float> out;
  out.reserve(importance.size());
  for (const float value : importance) {
    out.push_back(std::max(static_cast<float>(value / mean), least));
  }
  return out;
}

}  // namespace

uint16_t FiniteF16(float value) { return F16FromF32(std::clamp(value, -65504.0F, 65504.0F)); }

void QuantizeRows(DType type, const float* rows, int64_t row_count, int64_t cols,
                  std::span<const float> importance, std::byte* out) {
  const int64_t block = FormatOf(type).elements;
  FULMEN_CHECK(IsWeightType(type) && cols % block == 0, "rows of {} as {}", cols, DTypeName(type));
  FULMEN_CHECK(importance.empty() || importance.size() == static_cast<size_t>(cols),
               "{} importances for {} columns", importance.size(), cols);
  const int64_t elements = row_count * cols;
  switch (type) {
    case DType::kF32:
      std::memcpy(out, rows, BytesOf(type, elements));
      return;
    case DType::kF16:
      std::transform(rows, rows + elements, reinterpret_cast<uint16_t*>(out), FiniteF16);
      return;
    case DType::kBF16:
      std::transform(rows, rows + elements, reinterpret_cast<uint16_t*>(out), BF16FromF32);
      return;
    default:
      break;
  }
  const std::vector<float> weights = Normalized(importance);
  const EncodeJob job = {.type = type,
                         .x = rows,
                         .elements = elements,
                         .importance = weights.empty() ? nullptr : weights.data(),
                         .cols = cols,
                         .out = out};
  block == kSmallBlock ? EncodeSmallBlocks(job) : EncodeSuperBlocks(job);
}

}  // namespace fulmen
