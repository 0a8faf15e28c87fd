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
#include "train/training_config.h"

namespace fulmen {

// After every step, on rank 0.
struct TrainingProgress {
  const StepMetrics& metrics;
  int64_t steps = 0;        // of the whole run
  double seconds_left = 0;  // estimated from the tokens to come
};

struct TrainingOptions {
  // Go on with the newest whole checkpoint of the output folder, or begin when it has none yet.
  // Without it a folder that holds a run is refused.
  bool resume = false;
  double peak_flops = 0;                    // of all ranks together; 0: unknown, shares are then 0
  const std::atomic<bool>* stop = nullptr;  // asks to write a checkpoint and stop; not owned
  std::function<void(const TrainingProgress&)> progress = nullptr;
  std::function<void(const std::string&)> say = nullptr;  // a sentence for the user, on rank 0
};

// Leaves in output.folder:
//   config.toml                 what was asked, every field
//   checkpoints/step-NNNNNNN/   see model_folder.h; trainer.json holds step, stage, stream, totals
//   metrics.jsonl, report.html  see metrics.h and report.h
//   model/                      the trained model, at the end
// The weights depend on the config, the data and the number of ranks, and on neither threads nor
// on how often the run was stopped and resumed. Every rank calls it with the same config and sees
// the same folders; rank 0 writes. Fails with kNonFinite when a loss or gradient is not finite,
// naming step and layer, with kCancelled when it was asked to stop, and with kUnavailable when a
// rank is lost; checkpoints stay intact, whatever fails.
Status Train(const TrainingConfig& config, const TrainingOptions& options, ThreadPool& pool,
             Communicator& ranks);

// What a run would be, in a few lines: parameters, memory, stages, steps, tokens. Opens the data.
Result<std::string> DescribeRun(const TrainingConfig& config, int ranks);

}  // namespace fulmen
