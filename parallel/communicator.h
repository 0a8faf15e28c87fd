// Ranks that work together: one process, or one of several under mpirun.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/status.h"

namespace fulmen {

// Collective operations: every rank calls the same ones in the same order, with spans of the same
// size. All results have the same bits on every rank and from run to run for one number of ranks:
// sums are taken in the order of the ranks. Not thread safe: one thread of a rank calls.
//
// Errors: kUnavailable when another rank is lost; every later call fails likewise. mpirun itself
// says which rank was lost and ends the others, usually before they notice.
//
// The last call is Barrier. A rank whose communicator is destroyed without one has failed: it does
// not take leave of the others, and when its process ends mpirun ends them too, for they would wait
// for it forever.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Every element becomes its sum over the ranks.
  virtual Status AllReduceSum(std::span<double> values) = 0;
  // As AllReduceSum, running while the caller computes: `values` belong to the communicator until
  // FinishAllReduces, which waits for all that were started. Any other collective operation waits
  // for them too.
  virtual Status StartAllReduceSum(std::span<float> values) = 0;
  virtual Status FinishAllReduces() = 0;
  // all[r * mine.size() + i] = mine[i] of rank r.
  virtual Status AllGather(std::span<const int64_t> mine, std::span<int64_t> all) = 0;
  // Rank 0's values, on every rank.
  virtual Status Broadcast(std::span<float> values) = 0;
  // Returns once every rank is here.
  virtual Status Barrier() = 0;
};

// The only rank of one.
std::unique_ptr<Communicator> SingleProcess();

// The ranks that mpirun started this process among; SingleProcess() when it was not started by one.
// Call once, before other threads exist. Fails when mpirun started several ranks of a Fulmen that
// was built without MPI.
Result<std::unique_ptr<Communicator>> OpenCommunicator();

}  // namespace fulmen
