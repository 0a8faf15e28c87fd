// The gradients of tower and projector against central differences of a plain computation in
// double.
#include "model/vision_training.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "kernels/testing/guarded_device.h"
#include "model/tensor_table.h"
#include "model/vision.h"
#include "tests/testing/compare.h"

namespace fulmen {
namespace {

using Row = std::vector<double>;
using Rows = std::vector<Row>;

// Two layers over tiles of four patches, and a hidden size that divides nothing.
Config SmallConfig() {
  Config config;
  config.architecture = "MiniMaxVL01ForConditionalGeneration";
  config.vocab_size = 3;
  config.hidden_size = 5;
  config.heads = config.kv_heads = 1;
  config.head_dim = config.rotary_dim = 2;
  config.ffn_size = 2;
  config.experts = config.experts_per_token = 1;
  config.layers = {LayerKind::kLightning};
  VisionConfig vision = {.tiles = {}, .normalisation = ClipNormalisation()};
  vision.tiles = {.tile = 4, .patch = 2, .pinpoints = {{4, 4}}};
  vision.width = 6;
  vision.heads = 2;
  vision.ffn_size = 7;
  vision.layers = 2;
  vision.norm_epsilon = 1e-3F;
  config.vision = vision;
  return config;
}

// All tensors of the vision half, by name, and the plain twin over them.
class Twin {
 public:
  explicit Twin(const Config& config) : config_(config), vision_(*config.vision) {
    for (const TensorInstance& tensor : ExpectedTensors(config)) {
      tensors_.push_back(tensor);
      const bool vector = tensor.shape.size() == 1;
      values_.push_back(
          testing::RandomNormal(ElementCount(tensor.shape), tensors_.size(), vector ? 0.3F : 0.5F));
      if (tensor.name.find("norm") == std::string::npos || !tensor.name.ends_with("weight")) {
        continue;
      }
      for (float& value : values_.back()) value += 1;
    }
  }

  const std::vector<TensorInstance>& tensors() const { return tensors_; }
  std::vector<float>& values(size_t i) { return values_[i]; }
  Weights Arranged() const {
    std::vector<WeightMatrix> views;
    for (size_t i = 0; i < tensors_.size(); ++i) {
      views.push_back(
          AsWeight({std::as_bytes(std::span(values_[i])).data(), DType::kF32, tensors_[i].shape}));
    }
    return ArrangeWeights(config_, views);
  }

  // The rows of the batch that images stand for, in double.
  Rows Compute(const PackedImages& images) const {
    const auto cols = static_cast<size_t>(vision_.patch_values());
    const size_t patches = images.patches.size() / cols;
    const auto per_tile = static_cast<size_t>(vision_.patches());
    Rows features;
    for (size_t first = 0; first < patches; first += per_tile) {
      Rows hidden = {Add(Vector("class_embedding"), Position(0))};
      for (size_t p = 0; p < per_tile; ++p) {
        const auto begin = images.patches.begin() + static_cast<int64_t>((first + p) * cols);
        const Row patch(begin, begin + static_cast<int64_t>(cols));
        hidden.push_back(Add(Product("patch_embedding.weight", patch), Position(p + 1)));
      }
      for (Row& row : hidden) row = Norm("pre_layrnorm", row);
      for (int64_t layer = 0; layer < vision_.layers; ++layer) {
        hidden = Layer(fmt::format("layers.{}.", layer), hidden);
      }
      features.insert(features.end(), hidden.begin() + 1, hidden.end());
    }
    Rows out;
    for (const PackedImages::Span& span : images.spans) {
      for (const int64_t row : span.rows) {
        out.push_back(
            row == kNewline
                ? Vector("image_newline")
                : Affine("linear_2", Gelu(Affine("linear_1", features[static_cast<size_t>(row)]))));
      }
    }
    return out;
  }

 private:
  const std::vector<float>& Find(const std::string& ending) const {
    for (size_t i = 0; i < tensors_.size(); ++i) {
      if (tensors_[i].row->in_vision() && tensors_[i].name.ends_with(ending)) return values_[i];
    }
    throw std::logic_error(ending);
  }
  Row Vector(const std::string& ending) const {
    const auto& values = Find(ending);
    return {values.begin(), values.end()};
  }
  Row Position(size_t i) const {
    const auto& table = Find("position_embedding.weight");
    const auto begin = table.begin() + static_cast<int64_t>(i) * vision_.width;
    return {begin, begin + vision_.width};
  }
  static Row Add(Row a, const Row& b) {
    for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
    return a;
  }
  Row Product(const std::string& ending, const Row& x) const {
    const auto& weight = Find(ending);
    Row y(weight.size() / x.size());
    for (size_t i = 0; i < weight.size(); ++i) y[i / x.size()] += weight[i] * x[i % x.size()];
    return y;
  }
  Row Affine(const std::string& name, const Row& x) const {
    return Add(Product(name + ".weight", x), Vector(name + ".bias"));
  }
  static Row Gelu(Row x) {
    for (double& v : x) v *= 0.5 * std::erfc(-v / std::sqrt(2.0));
    return x;
  }
  Row Norm(const std::string& name, const Row& x) const {
    double mean = 0;
    for (const double v : x) mean += v / static_cast<double>(x.size());
    double variance = 0;
    for (const double v : x) variance += (v - mean) * (v - mean) / static_cast<double>(x.size());
    Row out = Vector(name + ".bias");
    const Row weight = Vector(name + ".weight");
    for (size_t i = 0; i < x.size(); ++i) {
      out[i] += (x[i] - mean) / std::sqrt(variance + vision_.norm_epsilon) * weight[i];
    }
    return out;
  }
  Rows Layer(const std::string& name, const Rows& input) const {
    Rows queries, keys, values;
    for (const Row& row : input) {
      const Row normed = Norm(name + "layer_norm1", row);
      queries.push_back(Affine(name + "self_attn.q_proj", normed));
      keys.push_back(Affine(name + "self_attn.k_proj", normed));
      values.push_back(Affine(name + "self_attn.v_proj", normed));
    }
    Rows out;
    for (size_t i = 0; i < input.size(); ++i) {
      const Row attended = Attend(queries[i], keys, values);
      const Row middle = Add(Affine(name + "self_attn.out_proj", attended), input[i]);
      const Row wide = Gelu(Affine(name + "mlp.fc1", Norm(name + "layer_norm2", middle)));
      out.push_back(Add(Affine(name + "mlp.fc2", wide), middle));
    }
    return out;
  }
  Row Attend(const Row& query, const Rows& keys, const Rows& values) const {
    const auto dim = static_cast<size_t>(vision_.width / vision_.heads);
    Row out(query.size());
    for (size_t head = 0; head < query.size(); head += dim) {
      Row weights;
      double sum = 0;
      for (const Row& key : keys) {
        double score = 0;
        for (size_t c = head; c < head + dim; ++c) score += query[c] * key[c];
        weights.push_back(std::exp(score / std::sqrt(static_cast<double>(dim))));
        sum += weights.back();
      }
      for (size_t k = 0; k < keys.size(); ++k) {
        for (size_t c = head; c < head + dim; ++c) out[c] += weights[k] / sum * values[k][c];
      }
    }
    return out;
  }

  const Config& config_;
  const VisionConfig& vision_;
  std::vector<TensorInstance> tensors_;
  std::vector<std::vector<float>> values_;
};

class VisionTrainingTest : public ::testing::TestWithParam<std::string> {
 protected:
  VisionTrainingTest() {
    images_.patches =
        testing::RandomNormal(3 * config_.vision->patches() * config_.vision->patch_values(), 5);
    // Two images in a batch of 14 rows; of the second tile some patches are padding.
    images_.spans = {{.first = 1, .rows = {0, 1, 2, 3, 4, kNewline, 6, kNewline}},
                     {.first = 11, .rows = {8, 9, 10}}};
    gradient_ = testing::RandomNormal(kRows * config_.hidden_size, 6);
  }

  // The sum of what images made, each element weighted by `gradient_`.
  double Loss() const {
    double loss = 0;
    const Rows rows = twin_.Compute(images_);
    size_t next = 0;
    for (const PackedImages::Span& span : images_.spans) {
      for (size_t i = 0; i < span.rows.size(); ++i, ++next) {
        for (int64_t c = 0; c < config_.hidden_size; ++c) {
          const int64_t at = (span.first + static_cast<int64_t>(i)) * config_.hidden_size + c;
          loss += rows[next][static_cast<size_t>(c)] * gradient_[static_cast<size_t>(at)];
        }
      }
    }
    return loss;
  }

  // What the pass leaves in the gradients of all tensors, as ExpectedTensors.
  std::vector<std::vector<float>> Gradients(bool tower) {
    testing::GuardedDevice device;
    const TrainingKernels kernels = device.Guard(**SelectTrainingKernels(GetParam()));
    ThreadPool pool(2);
    Workspace scratch(/*poison=*/true, device);
    KernelContext context{pool, scratch};
    const Compute compute(kernels, context);
    std::vector<std::vector<float>> values;
    std::vector<Matrix> matrices;
    for (const TensorInstance& tensor : twin_.tensors()) {
      const int64_t count = ElementCount(tensor.shape);
      const int64_t rows = tensor.shape.size() == 1 ? 1 : tensor.shape.front();
      values.emplace_back(static_cast<size_t>(count));
      matrices.emplace_back(values.back().data(), rows, count / rows);
    }
    const fulmen::Gradients gradients = ArrangeGradients(config_, matrices);
    const Weights weights = twin_.Arranged();
    const Matrix hidden = scratch.AllocateMatrix(kRows, config_.hidden_size);
    VisionTraining training(config_, weights, compute, images_, &gradients.vision, tower);
    training.Forward(hidden);
    ExpectForward(kernels, context, hidden);
    const auto bytes = std::as_bytes(std::span(gradient_));
    const auto to = std::as_writable_bytes(std::span(hidden.data, gradient_.size()));
    kernels.forward.copy(context, bytes, to);
    training.Backward(hidden);
    return values;
  }

  void ExpectForward(const TrainingKernels& kernels, KernelContext& context, ConstMatrix hidden) {
    std::vector<float> host(static_cast<size_t>(kRows * config_.hidden_size));
    kernels.forward.copy(context, std::as_bytes(std::span(hidden.data, host.size())),
                         std::as_writable_bytes(std::span(host)));
    const Rows expected = twin_.Compute(images_);
    size_t next = 0;
    for (const PackedImages::Span& span : images_.spans) {
      for (size_t i = 0; i < span.rows.size(); ++i, ++next) {
        const auto first =
            host.begin() + (span.first + static_cast<int64_t>(i)) * config_.hidden_size;
        const std::vector<float> actual(first, first + config_.hidden_size);
        EXPECT_TRUE(testing::NearRelativeToLargest(
            actual, std::vector<float>(expected[next].begin(), expected[next].end()), 1e-5));
      }
    }
  }

  static constexpr int64_t kRows = 14;
  const Config config_ = SmallConfig();
  Twin twin_{config_};
  PackedImages images_;
  std::vector<float> gradient_;
};

TEST_P(VisionTrainingTest, GradientsAreCentralDifferences) {
  const std::vector<std::vector<float>> gradients = Gradients(/*tower=*/true);
  for (size_t i = 0; i < twin_.tensors().size(); ++i) {
    if (!twin_.tensors()[i].row->in_vision()) continue;
    std::vector<float> expected;
    for (float& value : twin_.values(i)) {
      const float before = value;
      constexpr float kStep = 1.0F / 1024;
      value = before + kStep;
      const double above = Loss();
      const float upper = value;
      value = before - kStep;
      expected.push_back(static_cast<float>((above - Loss()) / (double{upper} - double{value})));
      value = before;
    }
    const std::string& name = twin_.tensors()[i].name;
    if (name.ends_with("k_proj.bias")) {
      // Attention does not change with it: what is left is the rounding of the weight's gradient.
      float largest = 0;
      for (const float value : gradients[i - 1]) largest = std::max(largest, std::abs(value));
      for (const float value : gradients[i]) EXPECT_LE(std::abs(value), 1e-4 * largest) << name;
      continue;
    }
    EXPECT_TRUE(testing::NearRelativeToLargest(gradients[i], expected, 1e-4)) << name;
  }
}

TEST_P(VisionTrainingTest, WithoutTheTowerTheProjectorsGradientsAreTheSame) {
  const std::vector<std::vector<float>> all = Gradients(/*tower=*/true);
  const std::vector<std::vector<float>> projector = Gradients(/*tower=*/false);
  for (size_t i = 0; i < twin_.tensors().size(); ++i) {
    const std::string& name = twin_.tensors()[i].name;
    if (name.starts_with("multi_modal_projector") || name == "image_newline") {
      EXPECT_TRUE(testing::SameBits(projector[i], all[i])) << name;
    } else {
      EXPECT_EQ(projector[i], std::vector<float>(projector[i].size(), 0)) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, VisionTrainingTest, ::testing::Values("ref", "cpu"),
                         [](const auto& kernels) { return kernels.param; });

}  // namespace
}  // namespace fulmen
