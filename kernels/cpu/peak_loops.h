// The innermost loops of kernels/peak.h, for the best instruction set of this processor whatever
// FULMEN_CPU_TARGET says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace fulmen::cpu {

// Returns something that depends on all the work, so that none of it is optimised away.
using PeakLoop = float (*)(int64_t iterations);
using ReadLoop = float (*)(const std::byte* data, int64_t bytes);

struct CountedLoop {
  PeakLoop loop;
  double operations;  // per iteration
};

struct PortableLoops {
  CountedLoop fma = {};
  ReadLoop read = nullptr;  // `bytes` is a multiple of 4096
};

PortableLoops BestLoops();
// Empty when this processor lacks the instruction.
std::optional<CountedLoop> Int8DotLoop();
std::optional<CountedLoop> Bf16DotLoop();

}  // namespace fulmen::cpu
