#include "kernels/self_check.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <tuple>

#include "kernels/operations.h"
#include "kernels/testing/kernels.h"
#include "kernels/testing/training_kernels.h"

namespace fulmen {
namespace {

template <class Table>
void ExpectNoneOfRef(const Table& cpu, const Table& ref) {
  const auto expect_own = [&](const auto& operation) {
    EXPECT_NE(cpu.*operation.entry, ref.*operation.entry) << operation.name;
  };
  std::apply([&](const auto&... operation) { (expect_own(operation), ...); }, OperationsOf(ref));
}

TEST(SelfCheck, EveryTargetPassesWithOperationsOfItsOwn) {
  for (const Kernels& kernels : testing::CpuKernelsOfAllTargets()) {
    SCOPED_TRACE(kernels.name);
    const Status status = SelfCheck(kernels);
    EXPECT_TRUE(status) << status.error().message;
    ExpectNoneOfRef(kernels, RefKernels());
  }
  for (const Precision precision : testing::kPrecisions) {
    for (const auto& [target, kernels] : testing::CpuTrainingKernelsOfAllTargets(precision)) {
      SCOPED_TRACE(target + " " + testing::PrecisionName(precision));
      const Status status = SelfCheck(kernels, precision, target);
      EXPECT_TRUE(status) << status.error().message;
      ExpectNoneOfRef(kernels, RefTrainingKernels(precision));
    }
  }
}

template <class Result, class... Arguments>
void ReplaceByNothing(Result (*&entry)(Arguments...)) {
  entry = [](Arguments... /*arguments*/) { return Result(); };
}

// `check` must name each operation that leaves its outputs as they were.
template <class Table, class Check>
void ExpectEveryOperationIsChecked(Table table, const Check& check) {
  ForEachOperation(table, [&](const char* name, auto& entry) {
    const auto right = entry;
    ReplaceByNothing(entry);
    const Status status = check(table);
    ASSERT_FALSE(status) << name;
    EXPECT_NE(status.error().message.find(name), std::string::npos) << status.error().message;
    entry = right;
  });
}

TEST(SelfCheck, FindsEachOperationThatDoesNothing) {
  ExpectEveryOperationIsChecked(RefKernels(),
                                [](const Kernels& kernels) { return SelfCheck(kernels); });
  for (const Precision precision : testing::kPrecisions) {
    ExpectEveryOperationIsChecked(
        RefTrainingKernels(precision),
        [&](const TrainingKernels& kernels) { return SelfCheck(kernels, precision, "idle"); });
  }
}

TEST(SelfCheck, FindsAWrongAnswer) {
  Kernels wrong = RefKernels();
  wrong.name = "broken";
  wrong.linear = [](KernelContext& context, ConstMatrix x,
                    std::initializer_list<Projection> projections) {
    RefKernels().linear(context, x, projections);
    const Matrix y = projections.begin()->y;
    y.row(y.rows - 1)[y.cols - 1] += 0.01F;
  };
  const Status status = SelfCheck(wrong);
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("broken kernels expected linear"), std::string::npos)
      << status.error().message;
}

// A single NaN, wherever it stands among right values.
template <int kPlace>
void ResidualWithNan(KernelContext& context, float alpha, ConstMatrix residual, float beta,
                     ConstMatrix branch, Matrix out) {
  RefKernels().residual(context, alpha, residual, beta, branch, out);
  const int64_t place = kPlace * (out.rows * out.cols - 1) / 2;
  out.row(place / out.cols)[place % out.cols] = NAN;
}

TEST(SelfCheck, FindsASingleNan) {
  for (const ResidualFn residual : {ResidualWithNan<0>, ResidualWithNan<1>, ResidualWithNan<2>}) {
    Kernels wrong = RefKernels();
    wrong.residual = residual;
    EXPECT_FALSE(SelfCheck(wrong));
  }
  TrainingKernels wrong = RefTrainingKernels();
  wrong.squared_norm = [](KernelContext&, std::span<const float>) { return std::nan(""); };
  EXPECT_FALSE(SelfCheck(wrong, Precision::kFloat32, "broken"));
}

using SelfCheckDeathTest = ::testing::Test;

TEST_F(SelfCheckDeathTest, ATableThatLacksAnOperationStopsTheProgram) {
  Kernels kernels = RefKernels();
  kernels.rope = nullptr;
  EXPECT_DEATH(CheckComplete(kernels, "cpu (OLD)"), "the cpu \\(OLD\\) kernels have no rope");
  TrainingKernels training = RefTrainingKernels();
  training.adamw = nullptr;
  EXPECT_DEATH(CheckComplete(training, "cpu (OLD)"), "have no adamw");
}

}  // namespace
}  // namespace fulmen
