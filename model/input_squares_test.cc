#include "model/input_squares.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "kernels/testing/guarded_device.h"
#include "kernels/testing/kernels.h"
#include "model/forward_pass.h"
#include "model/testing/test_sequence.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using RowValues = std::vector<std::vector<double>>;  // rows

RowValues Copied(ConstMatrix matrix) {
  RowValues rows;
  for (int64_t r = 0; r < matrix.rows; ++r) {
    rows.emplace_back(matrix.row(r), matrix.row(r) + matrix.cols);
  }
  return rows;
}

// What the experts of each layer read, and which were chosen, [T, k].
struct Seen : ForwardObserver {
  std::vector<RowValues> mlp_input;
  std::vector<RowValues> attended;
  std::vector<std::vector<std::vector<int32_t>>> experts;
  RowValues hidden;

  void OnLayer(int64_t /*layer*/, const LayerActivations& a) override {
    mlp_input.push_back(Copied(a.mlp_input));
    attended.push_back(Copied(a.attended));
    auto& chosen = experts.emplace_back();
    for (int64_t t = 0; t < a.experts.rows; ++t) {
      chosen.emplace_back(a.experts.row(t), a.experts.row(t) + a.experts.cols);
    }
  }
  void OnHidden(ConstMatrix matrix) override { hidden = Copied(matrix); }
};

// matrix x, in double.
std::vector<double> Product(const WeightMatrix& matrix, const std::vector<double>& x) {
  const std::vector<float> weights = Dequantize(matrix);
  std::vector<double> y(static_cast<size_t>(matrix.rows));
  for (size_t i = 0; i < weights.size(); ++i) y[i / x.size()] += weights[i] * x[i % x.size()];
  return y;
}

void Add(const std::vector<double>& row, ColumnSquares& sums) {
  sums.squares.resize(row.size());
  for (size_t c = 0; c < row.size(); ++c) sums.squares[c] += row[c] * row[c];
  ++sums.tokens;
}

void ExpectNear(const ColumnSquares* found, const ColumnSquares& expected) {
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->tokens, expected.tokens);
  ASSERT_EQ(found->squares.size(), expected.squares.size());
  for (size_t c = 0; c < expected.squares.size(); ++c) {
    EXPECT_NEAR(found->squares[c], expected.squares[c], 1e-4 * expected.squares[c] + 1e-9);
  }
}

class InputSquaresTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int32_t i = 0; i < 60; ++i) ids_.push_back(i * 37 % 500);
    testing::TestSequence sequence(model_.config);
    ASSERT_TRUE(Forward(model_, Compute(RefKernels(), context_.context), ids_, sequence.state, {},
                        {.observer = &seen_}));
  }

  Model model_ = LoadModel(testing::GoldenFolder("text/hybrid-bf16")).value();
  testing::TestContext context_;
  std::vector<int32_t> ids_;
  Seen seen_;
};

// What the experts read is routed again, and their hidden values computed from the weights.
TEST_F(InputSquaresTest, AreOfWhatEachWeightReads) {
  const Compute compute(RefKernels(), context_.context);
  InputSquares squares(model_, compute);
  ASSERT_TRUE(squares.Read(ids_));
  for (int64_t layer = 0; layer < model_.config.layer_count(); ++layer) {
    SCOPED_TRACE(layer);
    const auto index = static_cast<size_t>(layer);
    const LayerWeights& weights = model_.weights.layers[index];
    std::map<int32_t, ColumnSquares> input;
    std::map<int32_t, ColumnSquares> hidden;
    for (size_t t = 0; t < ids_.size(); ++t) {
      const std::vector<double>& x = seen_.mlp_input[index][t];
      for (const int32_t expert : seen_.experts[index][t]) {
        const ExpertWeights& matrices = weights.experts[static_cast<size_t>(expert)];
        std::vector<double> h = Product(matrices.gate, x);
        const std::vector<double> up = Product(matrices.up, x);
        for (size_t c = 0; c < h.size(); ++c) h[c] = h[c] / (1 + std::exp(-h[c])) * up[c];
        Add(x, input[expert]);
        Add(h, hidden[expert]);
      }
    }
    for (const auto& [expert, sums] : input) {
      ExpectNear(squares.Find(RowOf(&ExpertWeights::gate), layer, expert), sums);
      ExpectNear(squares.Find(RowOf(&ExpertWeights::up), layer, expert), sums);
      ExpectNear(squares.Find(RowOf(&ExpertWeights::down), layer, expert), hidden[expert]);
    }
    ColumnSquares attended;
    for (const auto& row : seen_.attended[index]) Add(row, attended);
    ExpectNear(squares.Find(RowOf(&LayerWeights::attention_output), layer, -1), attended);
  }
  ColumnSquares head;
  for (const auto& row : seen_.hidden) Add(row, head);
  ExpectNear(squares.Find(RowOf(&ModelWeights::head), -1, -1), head);
  EXPECT_EQ(squares.Find(RowOf(&ModelWeights::token_embedding), -1, -1), nullptr);
  EXPECT_EQ(squares.Find(RowOf(&LayerWeights::router), 0, -1), nullptr);
}

// Of the first layer it is the normed embedding that is read.
TEST_F(InputSquaresTest, OfTheFirstLayerAreThoseOfTheEmbedding) {
  const Compute compute(RefKernels(), context_.context);
  InputSquares squares(model_, compute);
  ASSERT_TRUE(squares.Read(ids_));
  const std::vector<float> embedding = Dequantize(model_.weights.token_embedding);
  const std::vector<float> norm = Dequantize(model_.weights.layers[0].attention_norm);
  ColumnSquares expected;
  for (const int32_t id : ids_) {
    const auto* row = embedding.data() + static_cast<size_t>(id) * norm.size();
    double sum = 0;
    for (size_t c = 0; c < norm.size(); ++c) sum += double{row[c]} * row[c];
    const double scale =
        1 / std::sqrt(sum / static_cast<double>(norm.size()) + model_.config.rms_norm_epsilon);
    std::vector<double> x;
    for (size_t c = 0; c < norm.size(); ++c) x.push_back(row[c] * scale * norm[c]);
    Add(x, expected);
  }
  ASSERT_EQ(model_.config.layers[0], LayerKind::kLightning);
  ExpectNear(squares.Find(RowOf(&LayerWeights::qkv), 0, -1), expected);
  ExpectNear(squares.Find(RowOf(&LayerWeights::output_gate), 0, -1), expected);
}

// Each text is a sequence of its own, on the memory of any device.
TEST_F(InputSquaresTest, AddUp) {
  testing::GuardedDevice device;
  const Kernels kernels = device.Guard(RefKernels());
  ThreadPool pool(1);
  Workspace scratch(/*poison=*/true, device);
  KernelContext context{pool, scratch};
  const Compute compute(kernels, context);
  InputSquares once(model_, compute);
  InputSquares twice(model_, compute);
  ASSERT_TRUE(once.Read(ids_));
  ASSERT_TRUE(twice.Read(ids_));
  ASSERT_TRUE(twice.Read(ids_));
  const TensorRow& row = RowOf(&LayerWeights::attention_output);
  ColumnSquares expected = *once.Find(row, 2, -1);
  expected.tokens *= 2;
  for (double& sum : expected.squares) sum *= 2;
  ExpectNear(twice.Find(row, 2, -1), expected);
}

}  // namespace
}  // namespace fulmen
