#include "cli/bench_peaks.h"

#include <fmt/core.h>

#include <optional>
#include <string>

#include "base/console.h"
#include "base/json.h"
#include "kernels/kernels.h"
#include "kernels/peak.h"

namespace fulmen {
namespace {

Json ToJson(const Peaks& peaks) {
  const auto ops = [](const std::optional<DotPeak>& dot) { return dot ? Json(dot->ops) : Json(); };
  const auto instructions = [](const std::optional<DotPeak>& dot) {
    return dot ? Json(dot->instructions) : Json();
  };
  return {{"fma_f32_flops", peaks.fma_flops},
          {"int8_dot_ops", ops(peaks.int8_dot)},
          {"int8_dot_instructions", instructions(peaks.int8_dot)},
          {"bf16_dot_flops", ops(peaks.bf16_dot)},
          {"bf16_dot_instructions", instructions(peaks.bf16_dot)},
          {"read_bandwidth_bytes", peaks.read_bandwidth}};
}

void PrintPeak(const char* name, double peak, const std::string& unit) {
  Print("{:<24}{:>8.1f} {}\n", name, peak / 1e9, unit);
}

void PrintPeaks(const Peaks& peaks, const std::string& kernels, int threads) {
  Print("Peaks of this machine with {} threads, {}\n", threads, kernels);
  const auto print_dot = [](const char* name, const std::optional<DotPeak>& dot, const char* unit) {
    if (dot) {
      PrintPeak(name, dot->ops, fmt::format("{} by {}", unit, dot->instructions));
    } else {
      Print("{:<24}{:>8} (this processor has no such instruction)\n", name, "-");
    }
  };
  PrintPeak("FMA float32", peaks.fma_flops, "GFLOP/s");
  print_dot("int8 dot", peaks.int8_dot, "GOP/s");
  print_dot("BF16 dot", peaks.bf16_dot, "GFLOP/s");
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
