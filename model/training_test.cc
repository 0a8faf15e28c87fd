// What ForwardBackward promises beyond the goldens: packing, ranks, token drop, and when gradients
// are complete.
#include "model/training.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "kernels/testing/guarded_device.h"
#include "kernels/testing/training_kernels.h"
#include "model/tensor_table.h"
#include "parallel/testing/ranks.h"
#include "tests/testing/compare.h"

namespace fulmen {
namespace {

using testing::NearInNorm;

// A small model with random weights in memory, and how it is run: on a device whose memory the host
// cannot touch.
class TestModel {
 public:
  explicit TestModel(bool post_norm = true, float beta = 1.0F, bool tied = false) {
    config.architecture = "MiniMaxText01ForCausalLM";
    config.vocab_size = 17;
    config.hidden_size = 12;
    config.heads = 2;
    config.kv_heads = 1;
    config.head_dim = 6;
    config.rotary_dim = 4;
    config.rope_base = 100;
    config.ffn_size = 10;
    config.experts = 3;
    config.experts_per_token = 2;
    config.max_position = 64;
    config.post_norm = post_norm;
    config.tied_embeddings = tied;
    config.layers = {LayerKind::kLightning, LayerKind::kSoftmax, LayerKind::kLightning};
    for (ResidualScale* scale :
         {&config.lightning_residual, &config.softmax_residual, &config.mlp_residual}) {
      *scale = {1.5F, beta};
    }
    for (const TensorInstance& tensor : ExpectedTensors(config)) {
      const bool norm = tensor.shape.size() == 1;
      std::vector<float> values =
          testing::RandomNormal(ElementCount(tensor.shape), weights.size() + 1, norm ? 0.1F : 0.4F);
      for (float& value : values) value += norm ? 1.0F : 0.0F;
      weights.push_back(std::move(values));
    }
  }

  struct Outcome {
    Losses losses;
    std::vector<std::vector<float>> gradients;  // as ExpectedTensors
  };

  // `outcome` has the gradients of batches before added to.
  void Run(const PackedBatch& batch, const LossOptions& options, Outcome& outcome,
           const std::string& kernels_name = "ref",
           Precision precision = Precision::kFloat32) const {
    Run(batch, options, outcome, **SelectTrainingKernels(kernels_name, precision));
  }
  void Run(const PackedBatch& batch, const LossOptions& options, Outcome& outcome,
           const TrainingKernels& kernels) const {
    testing::GuardedDevice device;
    const TrainingKernels guarded = device.Guard(kernels);
    ThreadPool pool(1);
    Workspace scratch(/*poison=*/true, device);
    KernelContext context{pool, scratch};
    std::vector<Matrix> matrices;
    outcome.gradients.resize(weights.size());
    const std::vector<TensorInstance> tensors = ExpectedTensors(config);
    for (size_t i = 0; i < weights.size(); ++i) {
      const Shape& shape = tensors[i].shape;
      outcome.gradients[i].resize(weights[i].size());
      const int64_t rows = shape.size() == 1 ? 1 : shape[0];
      matrices.emplace_back(outcome.gradients[i].data(), rows, shape.back());
    }
    const Result<Losses> losses =
        ForwardBackward(config, Arranged(), Compute(guarded, context), batch, options,
                        ArrangeGradients(config, matrices));
    ASSERT_TRUE(losses) << losses.error().message;
    outcome.losses = *losses;
  }

  Result<Losses> LossesAlone(const PackedBatch& batch, const LossOptions& options,
                             const std::string& kernels_name, Precision precision) const {
    testing::GuardedDevice device;
    const TrainingKernels guarded = device.Guard(**SelectTrainingKernels(kernels_name, precision));
    ThreadPool pool(1);
    Workspace scratch(/*poison=*/true, device);
    KernelContext context{pool, scratch};
    const Compute compute(guarded, context);
    return ForwardLosses(config, Arranged(), compute, batch, options);
  }

  Outcome Run(const PackedBatch& batch, const LossOptions& options) const {
    Outcome outcome;
    Run(batch, options, outcome);
    return outcome;
  }

  Weights Arranged() const {
    std::vector<WeightMatrix> views;
    const std::vector<TensorInstance> tensors = ExpectedTensors(config);
    for (size_t i = 0; i < weights.size(); ++i) {
      const std::byte* data = std::as_bytes(std::span(weights[i])).data();
      views.push_back(AsWeight({data, DType::kF32, tensors[i].shape}));
    }
    return ArrangeWeights(config, views);
  }

  Config config;
  std::vector<std::vector<float>> weights;  // as ExpectedTensors
};

std::vector<int32_t> RandomDocument(size_t length, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> document(length);
  for (int32_t& id : document) id = static_cast<int32_t>(random() % 17);
  return document;
}

PackedBatch Pack(const std::vector<std::vector<int32_t>>& documents) {
  PackedBatch batch;
  for (const std::vector<int32_t>& document : documents) batch.Add(document);
  return batch;
}

const std::vector<std::vector<int32_t>> kDocuments = {RandomDocument(11, 1), RandomDocument(1, 2),
                                                      RandomDocument(23, 3), RandomDocument(6, 4)};

void ExpectNear(const TestModel& model, const std::vector<std::vector<float>>& actual,
                const std::vector<std::vector<float>>& expected) {
  const std::vector<TensorInstance> tensors = ExpectedTensors(model.config);
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_TRUE(NearInNorm(actual[i], expected[i], 1e-5)) << tensors[i].name;
  }
}

// The auxiliary loss is a product of means over a batch, so only without it is a step the sum of
// its batches.
LossOptions PartOfStep(const PackedBatch& part, const PackedBatch& step) {
  LossOptions options;
  options.auxiliary = 0;
  options.z = 1e-2F;
  options.step_predicted_tokens = step.PredictedTokens();
  options.step_share =
      static_cast<float>(part.tokens.size()) / static_cast<float>(step.tokens.size());
  return options;
}

TEST(Training, PackedDocumentsAreAsDocumentsAlone) {
  for (const bool tied : {false, true}) {
    const TestModel model(/*post_norm=*/true, 1.0F, tied);
    const PackedBatch packed = Pack(kDocuments);
    const TestModel::Outcome together = model.Run(packed, PartOfStep(packed, packed));
    TestModel::Outcome alone;
    double loss = 0;
    for (const std::vector<int32_t>& document : kDocuments) {
      const PackedBatch batch = Pack({document});
      const LossOptions options = PartOfStep(batch, packed);
      model.Run(batch, options, alone);
      loss += alone.losses.cross_entropy + options.step_share * options.z * alone.losses.z;
    }
    EXPECT_NEAR(loss, together.losses.total, 1e-6 * together.losses.total);
    ExpectNear(model, alone.gradients, together.gradients);
  }
}

// Rank r of R runs every R-th batch, as the trainer has it; losses and gradients of all of them.
TestModel::Outcome RunSplit(const TestModel& model, const std::vector<PackedBatch>& batches,
                            int ranks, const PackedBatch& step, float capacity, bool recompute) {
  std::vector<TestModel::Outcome> outcomes(batches.size());
  testing::RunThreadRanks(ranks, [&](Communicator& communicator) {
    std::vector<int64_t> choices(model.config.layers.size() *
                                 static_cast<size_t>(model.config.experts));
    for (auto i = static_cast<size_t>(communicator.rank()); i < batches.size();
         i += static_cast<size_t>(ranks)) {
      LossOptions options = PartOfStep(batches[i], step);
      options.capacity = capacity;
      options.capacity_step = {std::ssize(step.tokens), choices, &communicator};
      options.recompute = recompute;
      model.Run(batches[i], options, outcomes[i]);
    }
  });
  TestModel::Outcome sum = outcomes[0];
  sum.losses.dropped = 0;
  sum.losses.cross_entropy = 0;
  for (size_t batch = 0; batch < batches.size(); ++batch) {
    const TestModel::Outcome& part = outcomes[batch];
    sum.losses.dropped += PartOfStep(batches[batch], step).step_share * part.losses.dropped;
    sum.losses.cross_entropy += part.losses.cross_entropy;
    for (size_t i = 0; batch > 0 && i < sum.gradients.size(); ++i) {
      for (size_t j = 0; j < sum.gradients[i].size(); ++j) {
        sum.gradients[i][j] += part.gradients[i][j];
      }
    }
  }
  return sum;
}

TEST(Training, AStepDropsTheSameTokensHoweverItIsSplit) {
  const TestModel model;
  const PackedBatch all = Pack(kDocuments);
  constexpr float kCapacity = 0.8F;
  LossOptions options = PartOfStep(all, all);
  options.capacity = kCapacity;
  const TestModel::Outcome expected = model.Run(all, options);
  EXPECT_GT(expected.losses.dropped, 0.02);

  const std::vector<PackedBatch> three = {
      Pack({kDocuments[0]}), Pack({kDocuments[1], kDocuments[2]}), Pack({kDocuments[3]})};
  std::vector<PackedBatch> four;
  for (const std::vector<int32_t>& document : kDocuments) four.push_back(Pack({document}));
  const std::vector<std::pair<std::vector<PackedBatch>, int>> layouts = {
      {{all}, 1}, {three, 1}, {three, 3}, {four, 1}, {four, 2}, {four, 4}};
  for (const auto& [batches, ranks] : layouts) {
    for (const bool recompute : {false, true}) {
      SCOPED_TRACE(
          fmt::format("{} batches, {} ranks, recompute {}", batches.size(), ranks, recompute));
      const TestModel::Outcome split = RunSplit(model, batches, ranks, all, kCapacity, recompute);
      EXPECT_NEAR(split.losses.dropped, expected.losses.dropped, 1e-6);
      EXPECT_NEAR(split.losses.cross_entropy, expected.losses.cross_entropy,
                  1e-6 * expected.losses.cross_entropy);
      ExpectNear(model, split.gradients, expected.gradients);
    }
  }
}

TEST(Training, ACapacityNobodyReachesChangesNoBit) {
  const TestModel model;
  const PackedBatch batch = Pack(kDocuments);
  const TestModel::Outcome expected = model.Run(batch, {});
  EXPECT_EQ(expected.losses.dropped, 0);
  LossOptions options;
  options.capacity = 1.5F;  // all tokens: 1.5 * n * 2 / 3
  const TestModel::Outcome actual = model.Run(batch, options);
  EXPECT_EQ(actual.losses.dropped, 0);
  EXPECT_EQ(actual.losses.total, expected.losses.total);
  EXPECT_EQ(actual.gradients, expected.gradients);
}

constexpr Precision kPrecisions[] = {Precision::kFloat32, Precision::kBFloat16};

LossOptions WithEveryLoss() {
  LossOptions options;
  options.capacity = 0.9F;
  options.z = 0.01F;
  return options;
}

TEST(Training, RecomputingChangesNoBit) {
  const TestModel model;
  const PackedBatch batch = Pack(kDocuments);
  for (const char* kernels : {"ref", "cpu"}) {
    for (const Precision precision : kPrecisions) {
      LossOptions options = WithEveryLoss();
      TestModel::Outcome kept;
      TestModel::Outcome computed;
      model.Run(batch, options, kept, kernels, precision);
      options.recompute = true;
      model.Run(batch, options, computed, kernels, precision);
      EXPECT_EQ(computed.losses.total, kept.losses.total) << kernels;
      EXPECT_EQ(computed.gradients, kept.gradients) << kernels;
    }
  }
}

struct Calls {
  int attention = 0, experts = 0, experts_without_output = 0;
};
Calls& Counted() {
  static Calls calls;
  return calls;
}

// Of three layers the second is softmax, and the last is kept.
TEST(Training, RecomputesWhatItDoesNotKeep) {
  TrainingKernels counting = RefTrainingKernels();
  counting.forward.softmax_attention = [](KernelContext& context, ConstMatrix queries,
                                          const KvCache& cache, const Slices& slices, Matrix out,
                                          Matrix log_sums) {
    ++Counted().attention;
    RefKernels().softmax_attention(context, queries, cache, slices, out, log_sums);
  };
  counting.forward.moe = [](KernelContext& context, ConstMatrix x,
                            std::span<const ExpertWeights> experts,
                            MatrixView<const int32_t> chosen, ConstMatrix weights,
                            const MoeActivations& kept, Matrix out) {
    ++Counted().experts;
    if (out.data == nullptr) ++Counted().experts_without_output;
    RefKernels().moe(context, x, experts, chosen, weights, kept, out);
  };
  const TestModel model;
  for (const bool recompute : {false, true}) {
    LossOptions options;
    options.recompute = recompute;
    Counted() = {};
    TestModel::Outcome outcome;
    model.Run(Pack(kDocuments), options, outcome, counting);
    EXPECT_EQ(Counted().attention, 1);
    EXPECT_EQ(Counted().experts, recompute ? 5 : 3);
    EXPECT_EQ(Counted().experts_without_output, recompute ? 2 : 0);
  }
}

TEST(Training, LossesAloneAreThoseOfAStep) {
  const TestModel model;
  const PackedBatch batch = Pack(kDocuments);
  for (const char* kernels : {"ref", "cpu"}) {
    for (const Precision precision : kPrecisions) {
      TestModel::Outcome step;
      model.Run(batch, WithEveryLoss(), step, kernels, precision);
      const Result<Losses> alone = model.LossesAlone(batch, WithEveryLoss(), kernels, precision);
      ASSERT_TRUE(alone) << alone.error().message;
      EXPECT_EQ(alone->total, step.losses.total) << kernels;
      EXPECT_EQ(alone->cross_entropy, step.losses.cross_entropy) << kernels;
      EXPECT_EQ(alone->choices, step.losses.choices) << kernels;
      EXPECT_EQ(alone->dropped, step.losses.dropped) << kernels;
    }
  }
}

TEST(Training, ABatchThatPredictsNothingIsRefused) {
  const TestModel model;
  LossOptions options;
  for (const std::vector<std::vector<int32_t>>& documents :
       {std::vector<std::vector<int32_t>>{}, {{3}, {5}}}) {
    const Result<Losses> losses =
        model.LossesAlone(Pack(documents), options, "cpu", Precision::kFloat32);
    ASSERT_FALSE(losses);
    EXPECT_NE(losses.error().message.find("predicts nothing"), std::string::npos);
  }
  options.step_predicted_tokens = 7;  // by the other batches of the step
  EXPECT_FALSE(model.LossesAlone(Pack({}), options, "cpu", Precision::kFloat32));
}

TEST(Training, ALossThatIsNotFiniteIsNoLoss) {
  TestModel model;
  const std::vector<TensorInstance> tensors = ExpectedTensors(model.config);
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].row->Is(&ModelWeights::head)) {
      for (float& value : model.weights[i]) value *= 1e38F;
    }
  }
  for (const char* kernels : {"ref", "cpu"}) {
    for (const Precision precision : kPrecisions) {
      const Result<Losses> losses = model.LossesAlone(Pack(kDocuments), {}, kernels, precision);
      ASSERT_FALSE(losses) << kernels;
      EXPECT_EQ(losses.error().code, ErrorCode::kNonFinite);
      EXPECT_EQ(losses.error().message,
                "the head (after layer 2) gave a cross-entropy that is not finite");
    }
  }
}

TEST(Training, ChoicesAreCountedByLayer) {
  const TestModel model;
  const PackedBatch batch = Pack(kDocuments);
  const Losses losses = model.Run(batch, {}).losses;
  ASSERT_EQ(losses.choices.size(), 9U);
  for (size_t layer = 0; layer < 3; ++layer) {
    const auto of_layer = std::span(losses.choices).subspan(3 * layer, 3);
    EXPECT_EQ(std::accumulate(of_layer.begin(), of_layer.end(), 0.0),
              2.0 * static_cast<double>(batch.tokens.size()));
  }
}

// The loss along the direction d of its gradient g rises by |g|; five-point differences see the
// same. Steps are small enough that no token changes its experts. A loss of `ref` is off by some
// 1e-7 of itself (its float32 activations), which the difference quotient multiplies by 1.5 / step.
TEST(Training, GradientsAreThoseOfTheLossWithTokensDropped) {
  for (const float beta : {1.0F, 0.4F}) {
    for (const bool post_norm : {true, false}) {
      TestModel model(post_norm, beta);
      const PackedBatch batch = Pack({RandomDocument(13, 5), RandomDocument(9, 6)});
      LossOptions options;
      options.auxiliary = 0.1F;
      options.z = 0.01F;
      options.capacity = 0.7F;
      const TestModel::Outcome outcome = model.Run(batch, options);
      EXPECT_GT(outcome.losses.dropped, 0.1);
      double squares = 0;
      for (const std::vector<float>& tensor : outcome.gradients) {
        for (const float g : tensor) squares += double{g} * double{g};
      }
      const double norm = std::sqrt(squares);
      const std::vector<std::vector<float>> weights = model.weights;
      const auto loss_at = [&](double step) {
        for (size_t i = 0; i < weights.size(); ++i) {
          for (size_t j = 0; j < weights[i].size(); ++j) {
            const double direction = double{outcome.gradients[i][j]} / norm;
            model.weights[i][j] = static_cast<float>(double{weights[i][j]} + step * direction);
          }
        }
        const Losses losses = model.Run(batch, options).losses;
        EXPECT_EQ(losses.choices, outcome.losses.choices);
        return losses.total;
      };
      constexpr double kStep = 5e-4;
      const double slope =
          (8 * (loss_at(kStep) - loss_at(-kStep)) - (loss_at(2 * kStep) - loss_at(-2 * kStep))) /
          (12 * kStep);
      const double tolerance = 1e-7 * outcome.losses.total * 1.5 / kStep;
      EXPECT_LT(tolerance, 1e-3 * norm);
      EXPECT_NEAR(slope, norm, tolerance) << "beta " << beta << (post_norm ? " post" : " pre");
    }
  }
}

double& Margin() {
  static double margin = 0;
  return margin;
}

// How much the least liked expert that a token chose is above the most liked that it did not, at
// least, in units of the largest router logit of the layer.
double SmallestMargin(const TestModel& model, const PackedBatch& batch, const LossOptions& options,
                      Precision precision) {
  TrainingKernels watching = RefTrainingKernels(precision);
  watching.forward.top_k_router = [](KernelContext& context, ConstMatrix logits,
                                     MatrixView<int32_t> experts, Matrix weights) {
    RefKernels().top_k_router(context, logits, experts, weights);
    float largest = 0;
    float smallest = std::numeric_limits<float>::infinity();
    for (int64_t t = 0; t < logits.rows; ++t) {
      const int32_t* chosen = experts.row(t);
      for (int32_t e = 0; e < logits.cols; ++e) {
        const float logit = logits.row(t)[e];
        largest = std::max(largest, std::abs(logit));
        if (std::find(chosen, chosen + experts.cols, e) != chosen + experts.cols) continue;
        smallest = std::min(smallest, logits.row(t)[chosen[experts.cols - 1]] - logit);
      }
    }
    Margin() = std::min(Margin(), double{smallest / largest});
  };
  Margin() = std::numeric_limits<double>::infinity();
  TestModel::Outcome outcome;
  model.Run(batch, options, outcome, watching);
  return Margin();
}

double NormOfDifference(const std::vector<float>& a, const std::vector<float>& b) {
  double squares = 0;
  for (size_t i = 0; i < a.size(); ++i) squares += std::pow(double{a[i]} - double{b[i]}, 2);
  return std::sqrt(squares);
}

TEST(Training, CpuIsAsRefWithTokensDroppedAndZLoss) {
  const TestModel model;
  const PackedBatch batch = Pack(kDocuments);
  LossOptions options;
  options.z = 0.01F;
  options.capacity = 0.9F;
  const TestModel::Outcome ref = model.Run(batch, options);
  TestModel::Outcome cpu;
  model.Run(batch, options, cpu, "cpu");
  EXPECT_GT(ref.losses.dropped, 0.01);
  // Twice what logits may differ by, a tenth of what gradients may: or a choice could be another.
  EXPECT_GT(SmallestMargin(model, batch, options, Precision::kFloat32), 2e-6);
  EXPECT_EQ(cpu.losses.dropped, ref.losses.dropped);
  EXPECT_EQ(cpu.losses.choices, ref.losses.choices);
  EXPECT_NEAR(cpu.losses.total, ref.losses.total, 1e-6 * ref.losses.total);
  ExpectNear(model, cpu.gradients, ref.gradients);
}

// How much BF16 moves a gradient depends on the model. What computing it another way adds comes
// from the few operands that lie so near a tie that they are rounded to the other side, and is far
// less.
TEST(Training, Bf16IsNearFloat32AndMuchNearerItsTwin) {
  const TestModel model;
  const PackedBatch batch = Pack(kDocuments);
  LossOptions options;
  options.z = 0.01F;
  options.capacity = 0.9F;
  const TestModel::Outcome float32 = model.Run(batch, options);
  TestModel::Outcome ref;
  TestModel::Outcome cpu;
  model.Run(batch, options, ref, "ref", Precision::kBFloat16);
  model.Run(batch, options, cpu, "cpu", Precision::kBFloat16);
  EXPECT_NEAR(ref.losses.total, float32.losses.total, 0x1p-8 * float32.losses.total);
  EXPECT_EQ(cpu.losses.choices, ref.losses.choices);
  // Activations may differ by the roundings that go the other way, and so may router logits.
  const auto activations = static_cast<int64_t>(batch.tokens.size()) * model.config.hidden_size;
  EXPECT_GT(SmallestMargin(model, batch, options, Precision::kBFloat16),
            2 * testing::RoundingFlips(1e-6, activations));
  const std::vector<TensorInstance> tensors = ExpectedTensors(model.config);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const double rounding = NormOfDifference(ref.gradients[i], float32.gradients[i]);
    EXPECT_GT(rounding, 0) << tensors[i].name;
    EXPECT_LE(NormOfDifference(cpu.gradients[i], ref.gradients[i]), rounding / 10)
        << tensors[i].name;
  }
}

TEST(Training, TellsWhenTheGradientsOfALayerAreComplete) {
  const TestModel model(/*post_norm=*/true, 1.0F, /*tied=*/true);
  const PackedBatch batch = Pack(kDocuments);
  const std::vector<TensorInstance> tensors = ExpectedTensors(model.config);
  for (const bool recompute : {false, true}) {
    TestModel::Outcome outcome;
    std::vector<int64_t> layers;
    std::vector<std::vector<float>> when_ready(tensors.size());
    LossOptions options;
    options.recompute = recompute;
    options.gradients_ready = [&](int64_t layer) -> Status {
      layers.push_back(layer);
      for (size_t i = 0; i < tensors.size(); ++i) {
        if (tensors[i].layer == layer) when_ready[i] = outcome.gradients[i];
      }
      return {};
    };
    model.Run(batch, options, outcome);
    EXPECT_EQ(layers, (std::vector<int64_t>{2, 1, 0, -1}));
    EXPECT_EQ(when_ready, outcome.gradients);
  }
}

}  // namespace
}  // namespace fulmen
