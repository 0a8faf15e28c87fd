// The order in which documents are learnt: a weighted mixture of datasets, packed into batches.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "model/training.h"
#include "train/dataset.h"

namespace fulmen {

struct MixtureSource {
  const Dataset* dataset = nullptr;  // not owned
  double weight = 1;                 // share of tokens, relative to the other sources
};

struct BatchStreamOptions {
  int64_t batch_tokens = 8192;  // of one batch: whole documents as long as they fit
  int64_t max_length = 2048;    // longer documents are cut into pieces of this many tokens
  uint64_t seed = 0;
};

// An endless, deterministic sequence of batches. Each source is read in an order shuffled anew for
// every pass over it, and the next document comes from the source whose share is furthest behind.
// Nothing is padded: a batch holds whole documents until the next would not fit. Every rank runs
// the same stream and takes its own batches of it, so the data of a step do not depend on the
// number of ranks. Not thread safe. Movable.
class BatchStream {
 public:
  // Fails when no source holds a document with something to learn.
  static Result<BatchStream> Create(std::vector<MixtureSource> sources,
                                    const BatchStreamOptions& options);

  PackedBatch Next();
  // Passes over a batch without building it.
  void Skip();

  // Where the stream stands, and back there; Restore fails when the state is not of these sources.
  Json State() const;
  Status Restore(const Json& state);
};

}  // namespace fulmen
