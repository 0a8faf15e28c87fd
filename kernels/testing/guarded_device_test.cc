#include "kernels/testing/guarded_device.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace fulmen {
namespace {

struct GuardedContext {
  testing::GuardedDevice device;
  ThreadPool pool{1};
  Workspace scratch{/*poison=*/true, device};
  KernelContext context{pool, scratch};
  Kernels kernels = device.Guard(RefKernels());

  // By way of the operation, as nothing else may.
  std::vector<float> Values(ConstMatrix matrix) {
    std::vector<float> values(static_cast<size_t>(matrix.rows * matrix.cols));
    kernels.copy(context, std::as_bytes(std::span(matrix.data, values.size())),
                 std::as_writable_bytes(std::span(values)));
    return values;
  }
};

TEST(GuardedDevice, OperationsReachItsMemory) {
  GuardedContext test;
  const Matrix matrix = test.scratch.AllocateMatrix(2, 3);
  for (const float value : test.Values(matrix)) EXPECT_TRUE(std::isnan(value)) << "poisoned";
  std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const Matrix host(values.data(), 2, 3);
  test.kernels.residual(test.context, 2.0F, host, 1.0F, host, matrix);
  EXPECT_EQ(test.Values(matrix), (std::vector<float>{3, 6, 9, 12, 15, 18}));
}

template <class Table>
void ExpectAllReplaced(const Table& guarded, const Table& real) {
  const auto expect_other = [&](const auto& operation) {
    EXPECT_NE(guarded.*operation.entry, real.*operation.entry) << operation.name;
  };
  std::apply([&](const auto&... operation) { (expect_other(operation), ...); }, OperationsOf(real));
}

TEST(GuardedDevice, GuardsEveryOperation) {
  testing::GuardedDevice device;
  ExpectAllReplaced(device.Guard(RefKernels()), RefKernels());
  const TrainingKernels training = device.Guard(RefTrainingKernels());
  ExpectAllReplaced(training, RefTrainingKernels());
  ExpectAllReplaced(training.forward, RefTrainingKernels().forward);
}

TEST(GuardedDeviceDeathTest, TheHostDiesWhereItTouchesTheMemory) {
  GuardedContext test;
  const Matrix matrix = test.scratch.AllocateMatrix(2, 3);
  std::vector<float> values(6);
  const Matrix host(values.data(), 2, 3);
  test.kernels.residual(test.context, 0.0F, host, 0.0F, host, matrix);
  const volatile float* element = matrix.data;
  EXPECT_DEATH((void)*element, "");
  EXPECT_DEATH(matrix.row(1)[2] = 1, "");
  // A block that comes later.
  EXPECT_DEATH(*test.scratch.Allocate<float>(10'000'000) = 1, "");
  EXPECT_DEATH(RefKernels().residual(test.context, 0.0F, host, 0.0F, host, matrix), "");
}

TEST(GuardedDeviceDeathTest, ItsOperationsTakeItsScratchMemoryAlone) {
  GuardedContext test;
  Workspace other;
  KernelContext context{test.pool, other};
  std::vector<RowHealth> health;
  EXPECT_DEATH(test.kernels.row_health(context, {}, health), "got other scratch memory");
}

}  // namespace
}  // namespace fulmen
