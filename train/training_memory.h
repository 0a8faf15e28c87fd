// What training takes of a machine's memory, counted before any of it is taken.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "model/config.h"
#include "train/training_config.h"

namespace fulmen {

struct TrainingMemoryOptions {
  int64_t batch_tokens = 0;  // of the largest batch
  int64_t max_length = 0;    // of its longest document
  int threads = 1;
  bool recompute = false;
  bool capacity = false;  // experts are limited
};

// In bytes, of one rank. Doubles, which no config overflows.
struct TrainingMemory {
  double weights = 0;
  double gradients = 0;
  double moments = 0;
  double activations = 0;  // of a full batch, kept for the backward pass
  double workspace = 0;    // at most, besides: gradients of activations, packed operands, logits

  double total() const { return weights + gradients + moments + activations + workspace; }
};

// Images are counted as filling their grids, as many of them as there are tokens for.
// Counted as ForwardBackward and the cpu kernels allocate it, in float32; BF16 takes a little less.
// The program itself, MPI's buffers and what lies in the cache of files are left out.
TrainingMemory EstimateTrainingMemory(const Config& config, const TrainingMemoryOptions& options);

// Of a run of this config, with or without batch.recompute.
TrainingMemory RunMemory(const TrainingConfig& config, const Config& geometry, bool recompute);
// Refuses a run that takes more memory than this process may have, before it takes any.
Status CheckRunMemory(const TrainingConfig& config, const Config& geometry);

}  // namespace fulmen
