// Gradients, losses and optimizer steps against those of the authors' code under PyTorch.
#include "train/gradients.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "formats/checkpoint.h"
#include "kernels/testing/guarded_device.h"
#include "tests/testing/compare.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::GoldenFolder;
using testing::NearInNorm;

constexpr double kLosses = 1e-5;
constexpr double kGradients = 1e-4;
constexpr double kChanges = 1e-3;

std::vector<float> Floats(const Checkpoint& file, const std::string& name) {
  const TensorView& view = file.tensors().at(name);
  std::vector<float> values(static_cast<size_t>(view.elements()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = LoadFloat(view.dtype, view.data, i);
  return values;
}

std::vector<float> Difference(std::vector<float> a, const std::vector<float>& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return a;
}

struct Way {
  const char* suffix;  // of the test's name
  bool recompute;
  bool guarded;  // in memory that the host cannot touch
};

class TrainGolden : public ::testing::TestWithParam<std::tuple<std::string, std::string, Way>> {};

TEST_P(TrainGolden, ReproducesTheReference) {
  const auto& [name, kernels_name, way] = GetParam();
  const std::string golden = GoldenFolder("train/" + name);
  if (golden.empty()) GTEST_SKIP() << "no golden train/" << name;
  const Result<Model> model = LoadModel(golden);
  ASSERT_TRUE(model) << model.error().message;
  testing::GuardedDevice device;
  TrainingKernels training = **SelectTrainingKernels(kernels_name);
  if (way.guarded) training = device.Guard(training);
  ThreadPool pool(2);
  Workspace scratch(/*poison=*/true, way.guarded ? device : HostMemory());
  KernelContext context{pool, scratch};
  const testing::TemporaryFolder folder;
  GradientOptions options;
  options.loss.recompute = way.recompute;
  const Result<Json> report =
      CheckGradients(*model, Compute(training, context), *ReadJsonFile(golden + "/batches.json"),
                     "batches.json", options, folder / "out.safetensors");
  ASSERT_TRUE(report) << report.error().message;

  const Json expected_report = *ReadJsonFile(golden + "/expected.json");
  ASSERT_FALSE(expected_report.empty());
  for (const auto& [kind, steps] : expected_report.items()) {
    ASSERT_FALSE(steps.empty()) << kind;
    for (size_t step = 0; step < steps.size(); ++step) {
      for (const auto& [key, expected] : steps[step].items()) {
        const auto value = (*report)[kind][step][key].get<double>();
        EXPECT_NEAR(value, expected.get<double>(), kLosses * std::abs(expected.get<double>()))
            << kind << " step " << step << " " << key;
      }
    }
  }

  const Result<Checkpoint> actual = Checkpoint::Open(folder / "out.safetensors");
  const Result<Checkpoint> expected = Checkpoint::Open(golden + "/expected.safetensors");
  ASSERT_TRUE(actual && expected);
  EXPECT_EQ(actual->tensors().size(), expected->tensors().size());
  for (const auto& [key, view] : expected->tensors()) {
    ASSERT_TRUE(actual->tensors().contains(key)) << key;
    const std::vector<float> mine = Floats(*actual, key);
    const std::vector<float> reference = Floats(*expected, key);
    if (key.find(".grad.") != std::string::npos) {
      EXPECT_TRUE(NearInNorm(mine, reference, kGradients)) << key;
    } else {
      const std::string tensor = key.substr(key.find(".after3.") + 8);
      const std::vector<float> initial = Floats(*model->checkpoint, tensor);
      EXPECT_TRUE(NearInNorm(Difference(mine, initial), Difference(reference, initial), kChanges))
          << key;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Goldens, TrainGolden,
    ::testing::Combine(::testing::Values("hybrid", "linear-tied"), ::testing::Values("ref", "cpu"),
                       ::testing::Values(Way{"", false, false}, Way{"_recompute", true, false},
                                         Way{"_guarded", true, true})),
    [](const auto& golden) {
      std::string name = std::get<0>(golden.param) + "_" + std::get<1>(golden.param) +
                         std::get<2>(golden.param).suffix;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

// JSON has no NaN, so a report would hide it.
TEST(Gradients, ThatAreNotFiniteAreRefused) {
  const Result<Model> model = LoadModel(testing::SourcePath("models/fulmen-nano"));
  ASSERT_TRUE(model) << model.error().message;
  ThreadPool pool(1);
  Workspace scratch(/*poison=*/true);
  KernelContext context{pool, scratch};
  const testing::TemporaryFolder folder;
  GradientOptions options;
  options.loss.z = std::numeric_limits<float>::max();
  const Json batches = {{"some", {{{1, 2, 3, 4, 5}}}}};
  const Result<Json> report =
      CheckGradients(*model, Compute(**SelectTrainingKernels("cpu"), context), batches,
                     "batches.json", options, folder / "out.safetensors");
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().message,
            "batches.json: some: step 0: the norm of the gradients is not finite");
}

}  // namespace
}  // namespace fulmen
