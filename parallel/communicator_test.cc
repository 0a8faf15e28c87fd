// Every collective operation, in this process alone and, as the same test program started by
// mpirun, on several ranks.
#include "parallel/communicator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "base/status.h"
#include "tests/testing/subprocess.h"

namespace fulmen {
namespace {

std::unique_ptr<Communicator> Open() {
  Result<std::unique_ptr<Communicator>> ranks = OpenCommunicator();
  EXPECT_TRUE(ranks) << ranks.error().message;
  return ranks ? *std::move(ranks) : SingleProcess();
}

// Values whose sum depends on the order of its terms, different in every repetition.
template <class T>
std::vector<T> ValuesOf(int rank, size_t count, int repetition) {
  std::vector<T> values(count);
  uint32_t state = 2463534242U + static_cast<uint32_t>(97 * rank + repetition);
  for (T& value : values) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<T>(static_cast<double>(state) / 65536.0 - 30000.0) / static_cast<T>(7);
  }
  return values;
}

template <class T>
std::vector<T> SumInRankOrder(int ranks, size_t count, int repetition) {
  std::vector<T> sums = ValuesOf<T>(0, count, repetition);
  for (int rank = 1; rank < ranks; ++rank) {
    const std::vector<T> values = ValuesOf<T>(rank, count, repetition);
    for (size_t i = 0; i < count; ++i) sums[i] += values[i];
  }
  return sums;
}

#define ASSERT_OK(expression)                      \
  do {                                             \
    const Status status = (expression);            \
    ASSERT_TRUE(status) << status.error().message; \
  } while (false)

// The sums are compared bit by bit with one that every rank finds alone, so all ranks agree.
void CheckSums(Communicator& ranks, const std::vector<size_t>& sizes, int repetition) {
  std::vector<std::vector<float>> gradients;
  for (const size_t size : sizes) {
    gradients.push_back(ValuesOf<float>(ranks.rank(), size, repetition));
  }
  for (std::vector<float>& values : gradients) ASSERT_OK(ranks.StartAllReduceSum(values));
  ASSERT_OK(ranks.FinishAllReduces());
  for (const std::vector<float>& values : gradients) {
    ASSERT_EQ(values, SumInRankOrder<float>(ranks.size(), values.size(), repetition));
  }
  for (const size_t size : sizes) {
    std::vector<double> values = ValuesOf<double>(ranks.rank(), size, repetition);
    ASSERT_OK(ranks.AllReduceSum(values));
    ASSERT_EQ(values, SumInRankOrder<double>(ranks.size(), size, repetition));
  }
}

void CheckMoves(Communicator& ranks, size_t size, int repetition) {
  const auto value = [&](int rank, size_t i) {
    return int64_t{1000} * rank + static_cast<int64_t>(i) + repetition;
  };
  std::vector<int64_t> mine(size);
  std::vector<int64_t> all(size * static_cast<size_t>(ranks.size()), -1);
  for (size_t i = 0; i < size; ++i) mine[i] = value(ranks.rank(), i);
  ASSERT_OK(ranks.AllGather(mine, all));
  for (size_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(all[i], value(static_cast<int>(i / size), i % size));
  }
  std::vector<float> values = ValuesOf<float>(ranks.rank(), size, repetition);
  ASSERT_OK(ranks.Broadcast(values));
  ASSERT_EQ(values, ValuesOf<float>(0, size, repetition));
}

TEST(Collectives, MatchPlainSums) {
  const std::unique_ptr<Communicator> ranks = Open();
  if (const char* expected = std::getenv("FULMEN_TEST_RANKS")) {
    ASSERT_EQ(std::to_string(ranks->size()), expected);
  }
  for (int repetition = 0; repetition < 100; ++repetition) {
    CheckSums(*ranks, {0, 1, 2, 3, 5, 1000, 4097}, repetition);
    for (const size_t size : {0, 1, 3, 1000}) CheckMoves(*ranks, size, repetition);
  }
  CheckSums(*ranks, {(size_t{1} << 18) - 1, (size_t{1} << 18) + 1, 600'001}, 0);
  ASSERT_OK(ranks->Barrier());
}

// Run by the tests below: rank 1 fails, or is killed, while the others wait for it.
TEST(Collectives, DISABLED_OneRankFails) {
  std::unique_ptr<Communicator> ranks = Open();
  std::vector<float> values(600'001);
  ASSERT_OK(ranks->StartAllReduceSum(values));
  if (ranks->rank() == 1) {
    ranks.reset();
    fmt::print(stderr, "rank 1 has a reason\n");
    std::exit(1);
  }
  (void)ranks->Barrier();
  fmt::print(stderr, "went on alone\n");
}

TEST(Collectives, DISABLED_OneRankIsKilled) {
  const std::unique_ptr<Communicator> ranks = Open();
  if (ranks->rank() == 1) std::raise(SIGKILL);
  (void)ranks->Barrier();
  fmt::print(stderr, "went on alone\n");
}

#ifdef FULMEN_MPI
testing::ProgramResult RunThisProgram(int ranks, const std::string& filter) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  return testing::RunRanks(ranks, {"env", fmt::format("FULMEN_TEST_RANKS={}", ranks), program,
                                   "--gtest_also_run_disabled_tests", "--gtest_filter=" + filter});
}

class UnderMpirun : public ::testing::TestWithParam<int> {};

TEST_P(UnderMpirun, CollectivesMatchPlainSums) {
  const testing::ProgramResult result = RunThisProgram(GetParam(), "Collectives.MatchPlainSums");
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
}

INSTANTIATE_TEST_SUITE_P(Ranks, UnderMpirun, ::testing::Values(1, 2, 4));

TEST(LostRank, ThatFailsEndsTheOthers) {
  const testing::ProgramResult result = RunThisProgram(3, "*OneRankFails");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("rank 1 has a reason"), std::string::npos) << result.err;
  EXPECT_EQ(result.err.find("went on alone"), std::string::npos) << result.err;
}

TEST(LostRank, ThatIsKilledEndsTheOthersAndIsNamed) {
  const testing::ProgramResult result = RunThisProgram(3, "*OneRankIsKilled");
  EXPECT_EQ(result.exit_code, 128 + SIGKILL);
  EXPECT_NE(result.err.find("process rank 1"), std::string::npos) << result.err;
  EXPECT_EQ(result.err.find("went on alone"), std::string::npos) << result.err;
}

#else

TEST(Communicator, RefusesSeveralRanksWithoutMpi) {
  setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  const auto ranks = OpenCommunicator();
  unsetenv("OMPI_COMM_WORLD_SIZE");
  ASSERT_FALSE(ranks);
  EXPECT_EQ(ranks.error().code, ErrorCode::kUnsupported);
}
#endif  // FULMEN_MPI

}  // namespace
}  // namespace fulmen
