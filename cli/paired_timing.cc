#include "cli/paired_timing.h"

#include <algorithm>
#include <chrono>

namespace fulmen {

void PeakRange::Add(double value) {
  low = std::min(low, value);
  high = std::max(high, value);
}

Result<PairedSample> MeasurePaired(double (*measure)(ThreadPool&), ThreadPool& pool,
                                   PeakRange& range, const std::function<Status()>& work) {
  const double before = measure(pool);
  const auto start = std::chrono::steady_clock::now();
  FULMEN_TRY(work());
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const double after = measure(pool);
  range.Add(before);
  range.Add(after);
  return PairedSample{seconds.count(), (before + after) / 2};
}

void PairedSamples::Add(const PairedSample& sample, double tokens, double work) {
  rates.push_back(tokens / sample.seconds);
  shares.push_back(work / sample.seconds / sample.peak);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace fulmen
