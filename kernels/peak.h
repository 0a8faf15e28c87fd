// What this machine can do at most, measured: the yardsticks speeds are given as shares of.
#pragma once

#include <optional>
#include <string_view>

#include "base/thread_pool.h"

namespace fulmen {

struct DotPeak {
  double ops = 0;                 // multiply-adds, two operations each, per second
  std::string_view instructions;  // what they were made of
};

struct Peaks {
  double fma_flops = 0;             // float32 multiply-adds, two operations each, per second
  std::optional<DotPeak> int8_dot;  // the best product of bytes; none for NEON alone
  std::optional<DotPeak> bf16_dot;  // of BF16, summed in float32 (AVX-512 BF16 or AMX)
  double read_bandwidth = 0;        // bytes per second out of memory, beyond every cache
};

// Measures with all threads of the pool, the best of several rounds each; takes about a second.
// All are those of the instruction set that CpuKernels() chooses; what belongs to none of those
// sets (VNNI, BF16) is measured where it is this processor's best. What is lacking gives nullopt.
Peaks MeasurePeaks(ThreadPool& pool);

// Those that models are held against, alone: a quarter of a second each. Memory is shared with
// whatever else the machine runs, so a share should be taken of a peak measured just before or
// after.
double MeasureFmaFlops(ThreadPool& pool);
bool HasInt8Dot();
double MeasureInt8Ops(ThreadPool& pool);  // needs HasInt8Dot()
// Whether products with BF16 weights are made of those of BF16, three for each of float32.
bool MultipliesBf16Weights();
double MeasureBf16Parts(ThreadPool& pool);  // a third of that peak; needs MultipliesBf16Weights()
double MeasureReadBandwidth(ThreadPool& pool);

}  // namespace fulmen
