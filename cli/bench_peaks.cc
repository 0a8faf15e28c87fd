#include "cli/bench_peaks.h"

#include <fmt/core.h>

#include <string>

#include "base/console.h"
#include "base/json.h"
#include "kernels/kernels.h"
#include "kernels/peak.h"

namespace fulmen {
namespace {

Json ToJson(const Peaks& peaks) {
  return {{"fma_f32_flops", peaks.fma_flops},
          {"int8_dot_ops", peaks.int8_dot ? Json(peaks.int8_dot->ops) : Json(nullptr)},
          {"int8_dot_instructions",
           peaks.int8_dot ? Json(peaks.int8_dot->instructions) : Json(nullptr)},
          {"bf16_dot_flops", peaks.bf16_dot_flops ? Json(*peaks.bf16_dot_flops) : Json(nullptr)},
          {"read_bandwidth_bytes", peaks.read_bandwidth}};
}

void PrintPeak(const char* name, double peak, const std::string& unit) {
  Print("{:<24}{:>8.1f} {}\n", name, peak / 1e9, unit);
}

void PrintPeaks(const Peaks& peaks, const std::string& kernels, int threads) {
  Print("Peaks of this machine with {} threads, {}\n", threads, kernels);
  const auto lacking = [](const char* name) {
    Print("{:<24}{:>8} (this processor has no such instruction)\n", name, "-");
  };
  PrintPeak("FMA float32", peaks.fma_flops, "GFLOP/s");
  if (peaks.int8_dot) {
    PrintPeak("int8 dot", peaks.int8_dot->ops,
              fmt::format("GOP/s by {}", peaks.int8_dot->instructions));
  } else {
    lacking("int8 dot");
  }
  if (peaks.bf16_dot_flops) {
    PrintPeak("BF16 dot", *peaks.bf16_dot_flops, "GFLOP/s");
  } else {
    lacking("BF16 dot");
  }
  PrintPeak("read bandwidth", peaks.read_bandwidth, "GB/s");
}

}  // namespace

Status BenchPeaks(int threads, bool as_json) {
  FULMEN_ASSIGN(const Kernels* kernels, CpuKernels());
  ThreadPool pool(threads);
  const Peaks peaks = MeasurePeaks(pool);
  if (as_json) {
    Print("{}\n",
          Json{{"kernels", kernels->name}, {"threads", pool.size()}, {"peaks", ToJson(peaks)}}
              .dump());
  } else {
    PrintPeaks(peaks, kernels->name, pool.size());
  }
  return {};
}

}  // namespace fulmen
