// What a program of Google Benchmark does once it knows what to measure.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>

namespace fulmen {

// `add` registers them, and may print what goes before their table.
inline int RunBenchmarks(int argc, char** argv, const std::function<void()>& add) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  add();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace fulmen
