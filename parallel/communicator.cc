#include "parallel/communicator.h"

#include <algorithm>
#include <cstdlib>

#include "base/check.h"
#ifdef FULMEN_MPI
#include "parallel/mpi_communicator.h"
#endif

namespace fulmen {
namespace {

class OnlyRank final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  Status AllReduceSum(std::span<double>) override { return {}; }
  Status StartAllReduceSum(std::span<float>) override { return {}; }
  Status FinishAllReduces() override { return {}; }
  Status AllGather(std::span<const int64_t> mine, std::span<int64_t> all) override {
    FULMEN_CHECK(all.size() == mine.size(), "{} values of one rank into {}", mine.size(),
                 all.size());
    std::ranges::copy(mine, all.begin());
    return {};
  }
  Status Broadcast(std::span<float>) override { return {}; }
  Status Barrier() override { return {}; }
};

// Ranks that mpirun says it started: Open MPI and MPICH (Slurm's too) tell it in the environment. 0
// when there was no mpirun. Asking MPI itself would start it, with a daemon, in every process.
int StartedRanks() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    if (const char* ranks = std::getenv(name)) return std::max(1, std::atoi(ranks));
  }
  return 0;
}

}  // namespace

std::unique_ptr<Communicator> SingleProcess() { return std::make_unique<OnlyRank>(); }

Result<std::unique_ptr<Communicator>> OpenCommunicator() {
  const int ranks = StartedRanks();
  if (ranks == 0) return SingleProcess();
#ifdef FULMEN_MPI
  return OpenMpi();
#else
  if (ranks == 1) return SingleProcess();
  return Fail(ErrorCode::kUnsupported,
              "mpirun started {} ranks, but this fulmen was built without MPI (FULMEN_MPI=OFF)",
              ranks);
#endif
}

}  // namespace fulmen
