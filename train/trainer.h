// Trains a model as a config says: the loop around forward, backward and optimizer.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"
#include "base/thread_pool.h"
#include "parallel/communicator.h"
#include "train/metrics.h"
#include "train/run_setup.h"
#include "train/training_config.h"

namespace fulmen {

// After every step, on rank 0.
struct TrainingProgress {
  const StepMetrics& metrics;
  int64_t steps = 0;        // of the whole run
  double seconds_left = 0;  // estimated from the tokens to come
};

struct TrainingOptions {
  RunStart start = RunStart::kNew;
  double peak_flops = 0;  // of all ranks together; 0: unknown, shares are then 0
  // The number of a signal asks to write a checkpoint and stop; 0: go on. When one rank is asked,
  // all stop after the same step, and then hold the number. Not owned.
  std::atomic<int>* stop = nullptr;
  std::function<void(const TrainingProgress&)> progress = nullptr;
  // Sentences for the user, on rank 0: how it goes, and what is to be known in any case.
  std::function<void(const std::string&)> say = nullptr;
  std::function<void(const std::string&)> warn = nullptr;
};

// Leaves in output.folder:
//   config.toml                 what was asked, every field
//   checkpoints/step-NNNNNNN/   see model_folder.h; trainer.json holds step, stage, stream, totals
//   lock                        while it runs, see run_lock.h: a second trainer is refused
//   metrics.jsonl, report.html  see metrics.h and report.h
//   model/                      the trained model, at the end
// The weights depend on the config, the data and the number of ranks, and on neither threads nor
// on how often the run was stopped and resumed. Every rank calls it with the same config and sees
// the same folders; rank 0 writes. Fails with kNonFinite when a loss or gradient is not finite,
// naming step and layer, with kCancelled when it was asked to stop, which it has said by then, and
// with kUnavailable when a rank is lost or another trainer is at work in the folder; checkpoints
// stay intact, whatever fails.
Status Train(const TrainingConfig& config, const TrainingOptions& options, ThreadPool& pool,
             Communicator& ranks);

}  // namespace fulmen
