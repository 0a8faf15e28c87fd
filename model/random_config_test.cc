// Models of random geometry, written to disk and loaded like any other: `cpu` must agree with
// `ref`.
#include <gtest/gtest.h>

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/file_io.h"
#include "formats/safetensors.h"
#include "kernels/kernels.h"
#include "model/forward.h"
#include "model/tensor_table.h"
#include "model/testing/test_sequence.h"
#include "model/weights.h"
#include "tests/testing/compare.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::NearRelativeToLargest;

constexpr int kConfigs = 240;
// A single model may amplify rounding (a norm over a few small values does), so each one gets the
// tolerance of the goldens; a systematic error would show in the median of them all.
constexpr double kTolerance = 1e-4;
constexpr double kMedianTolerance = 3e-6;

class RandomModel {
 public:
  explicit RandomModel(uint64_t seed) : random_(seed) {
    config_.architecture = "MiniMaxText01ForCausalLM";
    config_.vocab_size = Between(3, 90);
    config_.hidden_size = Between(1, 80);
    config_.ffn_size = Between(1, 70);
    config_.kv_heads = Between(1, 3);
    config_.heads = config_.kv_heads * Between(1, 4);
    config_.head_dim = 2 * Between(1, 20);
    config_.rotary_dim = 2 * Between(1, config_.head_dim / 2);
    config_.rope_base = static_cast<double>(Between(100, 10'000'000));
    config_.experts = Between(1, 9);
    config_.experts_per_token = Between(1, config_.experts);
    config_.max_position = 4096;
    config_.post_norm = Between(0, 3) != 0;
    config_.tied_embeddings = Between(0, 2) == 0;
    const int64_t layers = Between(1, 6);
    const int64_t pattern = Between(0, 3);  // all lightning, all softmax, or mixed
    for (int64_t layer = 0; layer < layers; ++layer) {
      const bool softmax = pattern == 0 ? false : pattern == 1 ? true : Between(0, 1) == 1;
      config_.layers.push_back(softmax ? LayerKind::kSoftmax : LayerKind::kLightning);
    }
    for (ResidualScale* scale :
         {&config_.lightning_residual, &config_.softmax_residual, &config_.mlp_residual}) {
      *scale = {0.5F + 0.25F * static_cast<float>(Between(0, 12)),
                0.25F * static_cast<float>(Between(1, 6))};
    }
    dtype_ = std::array{DType::kF32, DType::kBF16, DType::kF16}[static_cast<size_t>(Between(0, 2))];
  }

  const Config& config() const { return config_; }
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_() % static_cast<uint64_t>(high - low + 1));
  }

  Status Write(const std::string& folder) {
    FULMEN_TRY(
        WriteFileAtomically(folder + "/config.json", ConfigToJson(config_, "float32").dump(1)));
    std::vector<SafetensorsWriter::Declaration> tensors;
    const std::vector<TensorInstance> expected = ExpectedTensors(config_);
    tensors.reserve(expected.size());
    for (const TensorInstance& tensor : expected) {
      tensors.push_back({tensor.name, dtype_, tensor.shape});
    }
    FULMEN_ASSIGN(SafetensorsWriter writer,
                  SafetensorsWriter::Create(folder + "/model.safetensors", tensors));
    for (const TensorInstance& tensor : expected) {
      const bool norm = tensor.shape.size() == 1;
      const float deviation = 1.0F / std::sqrt(static_cast<float>(tensor.shape.back()));
      std::vector<float> values =
          testing::RandomNormal(ElementCount(tensor.shape), random_(), norm ? 0.2F : deviation);
      if (norm) {
        for (float& value : values) value += 1.0F;
      }
      FULMEN_TRY(WriteAs(writer, values));
    }
    return writer.Finish();
  }

 private:
  Status WriteAs(SafetensorsWriter& writer, const std::vector<float>& values) {
    if (dtype_ == DType::kF32) return writer.Write(std::as_bytes(std::span(values)));
    std::vector<uint16_t> narrow(values.size());
    std::transform(values.begin(), values.end(), narrow.begin(),
                   dtype_ == DType::kBF16 ? BF16FromF32 : F16FromF32);
    return writer.Write(std::as_bytes(std::span(narrow)));
  }

  std::mt19937_64 random_;
  Config config_;
  DType dtype_;
};

// What the router of one layer was given and chose.
struct Routing {
  std::vector<float> logits;     // [T, experts]
  std::vector<int32_t> experts;  // [T, k]
};

// Two routes through a model part where a token's k-th and next expert are closer than rounding,
// and from there on everything about the token differs. So `cpu` follows the experts that `ref`
// chose, after its own choice was found to be exactly that of the contract for its own logits.
// With its logits within a bound of ref's, its choice can differ only where the margin is below
// twice that bound.
class Route {
 public:
  static Kernels Recording() {
    routings.clear();
    Kernels kernels = RefKernels();
    kernels.top_k_router = [](KernelContext& context, ConstMatrix logits,
                              MatrixView<int32_t> experts, Matrix weights) {
      RefKernels().top_k_router(context, logits, experts, weights);
      routings.push_back({Values(logits), Values(MatrixView<const int32_t>(experts))});
    };
    return kernels;
  }

  static Kernels Following(const Kernels& own) {
    followed = 0;
    router = own.top_k_router;
    Kernels kernels = own;
    kernels.top_k_router = Follow;
    return kernels;
  }

  // Choices made since the program started, one a token and layer, and those that were not ref's.
  static inline int64_t choices = 0;
  static inline int64_t parted = 0;

 private:
  template <class T>
  static std::vector<std::remove_const_t<T>> Values(MatrixView<T> matrix) {
    std::vector<std::remove_const_t<T>> values;
    for (int64_t row = 0; row < matrix.rows; ++row) {
      values.insert(values.end(), matrix.row(row), matrix.row(row) + matrix.cols);
    }
    return values;
  }

  static void Follow(KernelContext& context, ConstMatrix logits, MatrixView<int32_t> experts,
                     Matrix weights) {
    RefKernels().top_k_router(context, logits, experts, weights);
    const std::vector<int32_t> right = Values(MatrixView<const int32_t>(experts));
    router(context, logits, experts, weights);
    EXPECT_EQ(Values(MatrixView<const int32_t>(experts)), right);
    const Routing& ref = routings.at(followed++);
    EXPECT_TRUE(NearRelativeToLargest(Values(logits), ref.logits, kTolerance));
    choices += experts.rows;
    for (int64_t t = 0; t < experts.rows; ++t) {
      const int32_t* choice = ref.experts.data() + t * experts.cols;
      if (std::equal(choice, choice + experts.cols, experts.row(t))) continue;
      ++parted;
      std::copy_n(choice, experts.cols, experts.row(t));
      double total = 0;
      for (int64_t s = 0; s < experts.cols; ++s) total += std::exp(logits.row(t)[choice[s]]);
      for (int64_t s = 0; s < experts.cols; ++s) {
        weights.row(t)[s] = static_cast<float>(std::exp(logits.row(t)[choice[s]]) / total);
      }
    }
  }

  static inline std::vector<Routing> routings;  // of ref, layer by layer
  static inline size_t followed = 0;            // of them
  static inline TopKRouterFn router = nullptr;
};

struct RandomOutcome {
  std::vector<float> logits;
  std::vector<float> hidden;
};

RandomOutcome RunRandom(const Model& model, const Kernels& kernels,
                        const std::vector<int32_t>& ids) {
  const auto tokens = static_cast<int64_t>(ids.size());
  const Config& config = model.config;
  RandomOutcome outcome;
  outcome.logits = testing::NanFilled(tokens * config.vocab_size);
  outcome.hidden = testing::NanFilled((config.layer_count() + 1) * tokens * config.hidden_size);
  ThreadPool pool(2);
  Workspace scratch(/*poison=*/true);
  KernelContext context{pool, scratch};
  testing::TestSequence sequence(config);
  const Status status =
      Forward(model, Compute(kernels, context), ids, sequence.state,
              Matrix(outcome.logits.data(), tokens, config.vocab_size), {outcome.hidden.data()});
  EXPECT_TRUE(status.has_value()) << status.error().message;
  return outcome;
}

TEST(RandomConfigs, CpuAgreesWithRef) {
  Result<const Kernels*> cpu = SelectKernels("cpu");
  ASSERT_TRUE(cpu.has_value()) << cpu.error().message;
  std::vector<double> differences;
  for (int seed = 0; seed < kConfigs; ++seed) {
    RandomModel random(static_cast<uint64_t>(seed));
    SCOPED_TRACE(fmt::format("seed {}: {}", seed, ConfigToJson(random.config(), "float32").dump()));
    const testing::TemporaryFolder folder;
    const Status written = random.Write(folder.path());
    ASSERT_TRUE(written.has_value()) << written.error().message;
    Result<Model> model = LoadModel(folder.path());
    ASSERT_TRUE(model.has_value()) << model.error().message;
    std::vector<int32_t> ids(static_cast<size_t>(random.Between(1, 90)));
    for (int32_t& id : ids) {
      id = static_cast<int32_t>(random.Between(0, random.config().vocab_size - 1));
    }
    const RandomOutcome reference = RunRandom(*model, Route::Recording(), ids);
    const RandomOutcome fast = RunRandom(*model, Route::Following(**cpu), ids);
    EXPECT_TRUE(NearRelativeToLargest(fast.logits, reference.logits, kTolerance));
    EXPECT_TRUE(NearRelativeToLargest(fast.hidden, reference.hidden, kTolerance));
    if (HasFailure()) return;
    differences.push_back(testing::DifferenceRelativeToLargest(fast.logits, reference.logits));
  }
  std::nth_element(differences.begin(), differences.begin() + kConfigs / 2, differences.end());
  EXPECT_LE(differences[kConfigs / 2], kMedianTolerance);
  // Logits of order one, off by some 1e-6: a few in a million are so close.
  EXPECT_GT(Route::choices, 10'000);
  EXPECT_LE(Route::parted * 10'000, Route::choices);
}

}  // namespace
}  // namespace fulmen
