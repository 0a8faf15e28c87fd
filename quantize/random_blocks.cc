#include "quantize/random_blocks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include "base/check.h"
#include "base/quant_blocks.h"
#include "base/random.h"
#include "base/weight_matrix.h"
#include "model/synth.h"

namespace fulmen {
namespace {

// Where a block has its step, and its minimum or the step of its minima. The minimum is so many
// steps that the mean is zero: integers and scales are spread evenly.
struct Steps {
  DType type;
  size_t step;
  bool has_minimum = false;
  size_t minimum = 0;
  float minimum_steps = 0;
};
constexpr auto kSteps = std::to_array<Steps>({
    {DType::kQ4_0, offsetof(BlockQ4_0, d)},
    {DType::kQ4_1, offsetof(BlockQ4_1, d), true, offsetof(BlockQ4_1, m), -7.5F},
    {DType::kQ5_0, offsetof(BlockQ5_0, d)},
    {DType::kQ5_1, offsetof(BlockQ5_1, d), true, offsetof(BlockQ5_1, m), -15.5F},
    {DType::kQ8_0, offsetof(BlockQ8_0, d)},
    {DType::kQ2_K, offsetof(BlockQ2_K, d), true, offsetof(BlockQ2_K, dmin), 1.5F},
    {DType::kQ3_K, offsetof(BlockQ3_K, d)},
    {DType::kQ4_K, offsetof(BlockQ4_K, d), true, offsetof(BlockQ4_K, dmin), 7.5F},
    {DType::kQ5_K, offsetof(BlockQ5_K, d), true, offsetof(BlockQ5_K, dmin), 15.5F},
    {DType::kQ6_K, offsetof(BlockQ6_K, d)},
    {DType::kIQ4_NL, offsetof(BlockIQ4_NL, d)},
    {DType::kIQ4_XS, offsetof(BlockIQ4_XS, d)},
});

const Steps& StepsOf(DType type) {
  const auto* found = std::ranges::find(kSteps, type, &Steps::type);
  FULMEN_CHECK(found != kSteps.end(), "random blocks of type {}", DTypeName(type));
  return *found;
}

void FillBytes(uint64_t key, std::span<std::byte> out) {
  constexpr size_t kWords = 1024;
  std::array<uint32_t, kWords> words;
  const auto low = static_cast<uint32_t>(key);
  const auto high = static_cast<uint32_t>(key >> 32);
  uint32_t index = 0;
  while (!out.empty()) {
    // Over a plain array, so that the compiler vectorises it.
    for (uint32_t i = 0; i < kWords; ++i) words[i] = Mix32((index + i) ^ low) + high;
    index += kWords;
    const size_t bytes = std::min(out.size(), sizeof(words));
    std::memcpy(out.data(), words.data(), bytes);
    out = out.subspan(bytes);
  }
}

void SetSteps(const Steps& steps, float step, int64_t blocks, std::byte* out) {
  const uint16_t d = F16FromF32(step);
  const uint16_t minimum = F16FromF32(F32FromF16(d) * steps.minimum_steps);
  const auto stride = static_cast<size_t>(FormatOf(steps.type).bytes);
  for (int64_t block = 0; block < blocks; ++block, out += stride) {
    std::memcpy(out + steps.step, &d, sizeof(d));
    if (steps.has_minimum) std::memcpy(out + steps.minimum, &minimum, sizeof(minimum));
  }
}

// The deviation of weights whose step is one.
float MeasuredDeviation(const Steps& steps) {
  std::vector<std::byte> bytes(BytesOf(steps.type, kRandomBlock));
  FillBytes(1, bytes);
  SetSteps(steps, 1, kRandomBlock / FormatOf(steps.type).elements, bytes.data());
  double squares = 0;
  for (const float value : Dequantize({bytes.data(), steps.type, 1, kRandomBlock})) {
    squares += double{value} * value;
  }
  return static_cast<float>(std::sqrt(squares / kRandomBlock));
}

// Measured once.
float UnitDeviation(const Steps& steps) {
  static const std::array<float, kSteps.size()> all = [] {
    std::array<float, kSteps.size()> deviations = {};
    std::ranges::transform(kSteps, deviations.begin(), MeasuredDeviation);
    return deviations;
  }();
  return all[static_cast<size_t>(&steps - kSteps.data())];
}

}  // namespace

void FillRandomBlocks(DType type, uint64_t stream, int64_t first, int64_t count, float deviation,
                      std::byte* out) {
  FULMEN_CHECK(first % kRandomBlock == 0, "first {}", first);
  const Steps& steps = StepsOf(type);
  const float step = deviation / UnitDeviation(steps);
  for (int64_t done = 0; done < count; done += kRandomBlock) {
    const int64_t some = std::min(kRandomBlock, count - done);
    std::byte* at = out + BytesOf(type, done);
    FillBytes(MixBits(stream + static_cast<uint64_t>((first + done) / kRandomBlock)),
              std::span(at, BytesOf(type, some)));
    SetSteps(steps, step, some / FormatOf(type).elements, at);
  }
}

}  // namespace fulmen
