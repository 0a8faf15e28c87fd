// An ablation: softmax, lightning and hybrid models of several sizes trained on the same tokens.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "parallel/communicator.h"
#include "train/metrics.h"
#include "train/scaling.h"
#include "train/trainer.h"
#include "train/training_config.h"

namespace fulmen {

struct SweepSize {
  int64_t hidden = 0;
  int64_t layers = 0;
  bool operator==(const SweepSize&) const = default;
};

// "64x8,96x8": hidden size and layers of each. Errors of this and of ParseSweepKinds read on after
// the option's name.
Result<std::vector<SweepSize>> ParseSweepSizes(const std::string& text);
// The config's own size between one of two thirds of its heads and one of half as many again.
std::vector<SweepSize> DefaultSweepSizes(const ModelSection& model);
// "softmax,hybrid".
Result<std::vector<std::string>> ParseSweepKinds(const std::string& text);

struct SweepRun {
  std::string kind;
  std::string size;       // "96x8"
  TrainingConfig config;  // its output.folder is FOLDER/KIND-SIZE
  double parameters = 0;  // a token uses, without embedding and head
  double flops = 0;       // of the whole run, were every batch full

  std::string name() const { return kind + "-" + size; }
};

// The runs of a sweep, smallest models first. A run's config is `config` with the width, heads,
// experts' width and layers of its size, in the config's ratios, and the layers of its kind:
// hybrids have the config's softmax_every. Refuses a config whose curves would not compare: of a
// model to go on from, without held-out data, or with a learning rate that changes after the
// warm-up; and sizes the ratios do not fit.
Result<std::vector<SweepRun>> PlanSweep(const TrainingConfig& config,
                                        const std::vector<SweepSize>& sizes,
                                        const std::vector<std::string>& kinds);

// The held-out loss after the warm-up over compute and tokens.
std::vector<CurvePoint> HeldOutCurve(const History& history, int64_t warmup_steps);

struct SweepRecord {
  std::string kind;
  LossCurve curve;
  double tokens = 0;
  double flops = 0;
  double seconds = 0;
};

struct Sweep {
  TrainingConfig config;
  std::vector<SweepRecord> runs;  // those that are done
  Scaling scaling;
};

// After every step of any run, on rank 0.
struct SweepProgress {
  const SweepRun& run;
  size_t number = 0;  // of the run, from 1
  const TrainingProgress& training;
  double seconds_left = 0;  // for all runs
};

struct SweepOptions {
  // Resumed, what is trained already stays as it is, and runs that were not begun are.
  RunStart start = RunStart::kNew;
  double peak_flops = 0;                                  // see TrainingOptions
  std::atomic<int>* stop = nullptr;                       // likewise
  std::function<void(const std::string&)> say = nullptr;  // likewise
  std::function<void(const std::string&)> warn = nullptr;
  std::function<void(const SweepProgress&)> progress = nullptr;
};

// Trains one after the other, each into its folder, and leaves sweep.json and sweep.html in the
// config's output folder, written anew after every run. Fails as Train does, naming the run.
Result<Sweep> RunSweep(const TrainingConfig& config, const std::vector<SweepRun>& runs,
                       const SweepOptions& options, ThreadPool& pool, Communicator& ranks);

}  // namespace fulmen
