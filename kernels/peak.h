// What this machine can do at most, measured: the yardsticks speeds are given as shares of.
#pragma once

#include <optional>

#include "base/thread_pool.h"

namespace fulmen {

struct Peaks {
  double fma_flops = 0;                  // float32 multiply-adds, two operations each, per second
  std::optional<double> int8_dot_ops;    // the same of int8 dot products (AVX-512 VNNI)
  std::optional<double> bf16_dot_flops;  // of BF16 dot products (AVX-512 BF16)
  double read_bandwidth = 0;             // bytes per second out of memory, beyond every cache
};

// Measures with all threads of the pool, the best of several rounds each; takes about a second.
// An instruction this processor lacks gives nullopt.
Peaks MeasurePeaks(ThreadPool& pool);

// The two that models are held against, alone: a quarter of a second each. Memory is shared with
// whatever else the machine runs, so a share should be taken of a peak measured just before or
// after.
double MeasureFmaFlops(ThreadPool& pool);
double MeasureReadBandwidth(ThreadPool& pool);

}  // namespace fulmen
