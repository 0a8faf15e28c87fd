#include "cli/paired_timing.h"

#include <algorithm>

#include "base/clock.h"

namespace fulmen {

void PeakRange::Add(double value) {
  low = std::min(low, value);
  high = std::max(high, value);
}

Result<PairedSample> MeasurePaired(double (*measure)(ThreadPool&), ThreadPool& pool,
                                   PeakRange& range, const std::function<Status()>& work) {
  const double before = measure(pool);
  const auto start = Clock::now();
  FULMEN_TRY(work());
  const double seconds = SecondsSince(start);
  const double after = measure(pool);
  range.Add(before);
  range.Add(after);
  const bool steady = std::min(before, after) >= 0.9 * std::max(before, after);
  return PairedSample{seconds, (before + after) / 2, steady};
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
