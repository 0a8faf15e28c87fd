// What a run measured: one JSON object per line of metrics.jsonl.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace fulmen {

struct StepMetrics {
  int64_t step = 0;  // steps done, counted from 1
  std::string stage;
  double tokens = 0;   // read since the start of the run
  double seconds = 0;  // of training since the start of the run, pauses between resumes left out
  double loss = 0;     // with the router's losses
  double cross_entropy = 0;
  double auxiliary = 0;
  double z = 0;
  double dropped = 0;        // share of the experts' choices that their capacity dropped
  double gradient_norm = 0;  // before clipping
  double learning_rate = 0;
  double tokens_per_second = 0;
  double flops = 0;       // of this step, counted as 3 x the forward products (model/cost.h)
  double peak_share = 0;  // flops over time and the float32 FMA peak
};

struct HeldOutLoss {
  int64_t step = 0;
  double cross_entropy = 0;
};

// How often every expert was chosen since the record before.
struct ExpertLoad {
  int64_t step = 0;
  std::vector<std::vector<double>> shares;  // [layer][expert], each layer's sum is 1
};

struct History {
  std::vector<StepMetrics> steps;
  std::vector<HeldOutLoss> held_out;
  std::vector<ExpertLoad> loads;
};

// All that a metrics.jsonl says; a line that says something else is named by its number. Numbers
// that an older file does not have are 0.
Result<History> ReadHistory(const std::string& path);

// Appends to the file and keeps it all in memory for the report. Not thread safe. Movable.
class MetricsLog {
 public:
  // Keeps what an existing file says up to `last_step`; the rest was of a run that is gone over
  // again.
  static Result<MetricsLog> Open(const std::string& path, int64_t last_step);

  Status Add(const StepMetrics& metrics);
  Status Add(const HeldOutLoss& held_out);
  Status Add(const ExpertLoad& load);
  // What was added is on the disk then: a checkpoint must not outlive its part of the log.
  Status Sync();

  const History& history() const { return history_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  explicit MetricsLog(std::string path) : path_(std::move(path)) {}
  Status Append(const std::string& line);

  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
  History history_;
};

}  // namespace fulmen
