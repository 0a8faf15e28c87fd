// Timing work beside the machine's own peak: the speed of a machine drifts, and a share of a peak
// measured just before and after drifts less.
#pragma once

#include <functional>
#include <limits>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "base/thread_pool.h"

namespace fulmen {

// Lowest and highest of a peak over a whole run.
struct PeakRange {
  double low = std::numeric_limits<double>::infinity();
  double high = 0;
  void Add(double value);
  Json ToJson() const { return Json::array({low, high}); }
};

struct PairedSample {
  double seconds = 0;
  double peak = 0;  // units of work per second, the mean of before and after
  // Whether the two agree within a tenth. On a shared machine they often do not, and nobody knows
  // which of them the work had.
  bool steady = false;
};

// Times `work` between two measurements of its peak, which join `range`.
Result<PairedSample> MeasurePaired(double (*measure)(ThreadPool&), ThreadPool& pool,
                                   PeakRange& range, const std::function<Status()>& work);

struct PairedSamples {
  std::vector<double> rates;   // tokens per second
  std::vector<double> shares;  // of the peak
  void Add(const PairedSample& sample, double tokens, double work);
};

// The middle value; the upper one of two. `values` must not be empty.
double Median(std::vector<double> values);

}  // namespace fulmen
