// The innermost loops of kernels/peak.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace fulmen::cpu {

// Returns something that depends on all the work, so that none of it is optimised away.
using PeakLoop = float (*)(int64_t iterations);
using ReadLoop = float (*)(const std::byte* data, int64_t bytes);

struct CountedLoop {
  PeakLoop loop = nullptr;
  double operations = 0;  // per iteration
};

struct DotLoop {
  CountedLoop counted;
  const char* instructions;
};

struct PeakLoops {
  CountedLoop fma;
  ReadLoop read = nullptr;      // `bytes` is a multiple of 4096
  std::optional<DotLoop> int8;  // the best product; none for NEON alone
  std::optional<DotLoop> bf16;
  bool bf16_weights = false;  // whether products with BF16 weights are made of it
};

// Of one of Targets(). Instructions that belong to none of them (AVX-512 VNNI and BF16) are used
// with the best one, where this processor has them.
PeakLoops LoopsOf(std::string_view target);
// Of the target that FULMEN_CPU_TARGET chooses, or the best where it names none.
PeakLoops ChosenLoops();

}  // namespace fulmen::cpu
