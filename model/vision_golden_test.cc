// The vision half against the results of the authors' own code, with the tolerances that the
// goldens' README derives.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "formats/checkpoint.h"
#include "images/decode.h"
#include "kernels/testing/guarded_device.h"
#include "model/forward.h"
#include "model/testing/checkpoint_values.h"
#include "model/testing/test_sequence.h"
#include "model/vision.h"
#include "model/weights.h"
#include "tests/testing/compare.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::Values;
using Ids = std::vector<int32_t>;

constexpr double kVision = 2e-4;
constexpr double kFeatures = 1e-4;
constexpr double kLogits = 3e-3;

// max |actual - expected|, infinite where they cannot be compared.
double Distance(std::span<const float> actual, std::span<const float> expected) {
  float largest = 0;
  for (const float value : expected) largest = std::max(largest, std::abs(value));
  return testing::DifferenceRelativeToLargest(actual, expected) * largest;
}

Ids ToIds(const Checkpoint& expected, const std::string& name) {
  const std::vector<int64_t> wide = Values<int64_t>(expected, name);
  return {wide.begin(), wide.end()};
}

struct VisionCase {
  std::string name;
  std::string kernels;
  bool guarded;  // in memory that the host cannot touch
};

class VisionGolden : public ::testing::TestWithParam<VisionCase> {
 protected:
  void SetUp() override {
    folder_ = testing::GoldenFolder("vl");
    if (!std::filesystem::exists(folder_ + "/model.safetensors")) {
      GTEST_SKIP() << "the compact goldens have no vl model";
    }
    auto model = LoadModel(folder_);
    ASSERT_TRUE(model) << model.error().message;
    model_.emplace(*std::move(model));
    const auto kernels = SelectKernels(GetParam().kernels);
    ASSERT_TRUE(kernels) << kernels.error().message;
    kernels_ = GetParam().guarded ? device_.Guard(**kernels) : **kernels;
    scratch_.emplace(/*poison=*/true, GetParam().guarded ? device_ : HostMemory());
    context_.emplace(KernelContext{pool_, *scratch_});
    images_.emplace(Checkpoint::Open(folder_ + "/expected_images.safetensors").value());
    prompts_.emplace(Checkpoint::Open(folder_ + "/expected_prompts.safetensors").value());
    manifest_ = ReadJsonFile(folder_ + "/manifest.json").value();
  }

  Compute compute() { return Compute(kernels_, *context_); }
  const Config& config() const { return model_->config; }
  const VisionConfig& vision() const { return *config().vision; }

  const Json& Entry(const char* list, const std::string& name) const {
    return *std::ranges::find(manifest_.at(list), Json(name),
                              [](const Json& entry) { return entry.at("name"); });
  }

  std::shared_ptr<const TiledImage> Read(const std::string& name) const {
    const auto file = Entry("images", name).at("file").get<std::string>();
    const Image image = DecodeImage(testing::ReadFileOrDie(folder_ + "/" + file), {}, file).value();
    return std::make_shared<const TiledImage>(MakeTiles(image, vision().tiles).value());
  }

  std::vector<float> ToHost(ConstMatrix matrix) {
    std::vector<float> host(static_cast<size_t>(matrix.rows * matrix.cols));
    kernels_.copy(*context_, std::as_bytes(std::span(matrix.data, host.size())),
                  std::as_writable_bytes(std::span(host)));
    return host;
  }

  // The images of a prompt, their tiles encoded `at_once` together.
  std::vector<ImageFeatures> Encode(const Json& names, int64_t at_once) {
    std::vector<ImageFeatures> features;
    for (const Json& name : names) {
      features.emplace_back(Read(name.get<std::string>()), vision(), scratch_->memory());
      while (features.back().tiles_left() > 0) features.back().Encode(*model_, compute(), at_once);
    }
    return features;
  }

  // Logits of a prompt read in chunks, all of them.
  std::vector<float> Logits(const Ids& ids, std::span<const ImageFeatures> images, int64_t chunk,
                            SequenceState& state) {
    std::vector<float> logits = testing::NanFilled(std::ssize(ids) * config().vocab_size);
    for (int64_t first = 0; first < std::ssize(ids); first += chunk) {
      const int64_t count = std::min(chunk, std::ssize(ids) - first);
      EXPECT_TRUE(state.Reserve(count));
      ForwardBatch batch;
      batch.Add(std::span(ids).subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
                state, count);
      auto token = std::ranges::find(ids, vision().image_token);
      for (const ImageFeatures& image : images) {
        token = std::find(token, ids.end(), vision().image_token);
        const int64_t begin = token - ids.begin();
        token += image.image().geometry.tokens;
        const int64_t from = std::max(first, begin);
        const int64_t to = std::min<int64_t>(first + count, token - ids.begin());
        if (from >= to) continue;
        std::vector<int64_t> rows(static_cast<size_t>(to - from));
        FeatureRows(image.image().geometry, from - begin, rows);
        batch.images.push_back({from - first, image.matrix(), rows});
      }
      const Matrix out(logits.data() + first * config().vocab_size, count, config().vocab_size);
      const auto statuses = Forward(*model_, compute(), batch, out);
      EXPECT_TRUE(statuses.front()) << statuses.front().error().message;
    }
    return logits;
  }

  std::string folder_;
  std::optional<Model> model_;
  testing::GuardedDevice device_;
  Kernels kernels_;
  ThreadPool pool_{2};
  std::optional<Workspace> scratch_;
  std::optional<KernelContext> context_;
  std::optional<Checkpoint> images_;
  std::optional<Checkpoint> prompts_;
  Json manifest_;
};

TEST_P(VisionGolden, TowerProjectorAndPacking) {
  for (const Json& entry : manifest_.at("images")) {
    const auto name = entry.at("name").get<std::string>();
    SCOPED_TRACE(name);
    const auto image = Read(name);
    ASSERT_EQ(image->geometry.tokens, entry.at("tokens").get<int64_t>());
    ImageFeatures features(image, vision(), scratch_->memory());
    features.Encode(*model_, compute(), features.tiles_left());
    EXPECT_LE(Distance(ToHost(features.matrix()), Values<float>(*images_, name + ".vision")),
              kVision);

    const Workspace::Frame frame(*scratch_);
    const Matrix projected = scratch_->AllocateMatrix(features.matrix().rows, config().hidden_size);
    Project(*model_, compute(), features.matrix(), projected);
    EXPECT_LE(Distance(ToHost(projected), Values<float>(*images_, name + ".projected")), kFeatures);

    std::vector<int64_t> rows(static_cast<size_t>(image->geometry.tokens));
    FeatureRows(image->geometry, 0, rows);
    const Matrix packed = scratch_->AllocateMatrix(std::ssize(rows), config().hidden_size);
    PackFeatures(*model_, compute(), features.matrix(), rows, packed);
    EXPECT_LE(Distance(ToHost(packed), Values<float>(*images_, name + ".features")), kFeatures);
  }
}

TEST_P(VisionGolden, EveryLayerOfTheTower) {
  const auto image = Read("photo");
  const int64_t tiles = 1 + image->geometry.tiles;
  const Workspace::Frame frame(*scratch_);
  const Matrix patches =
      scratch_->AllocateMatrix(tiles * vision().patches(), vision().patch_values());
  std::vector<float> host(static_cast<size_t>(patches.rows * patches.cols));
  for (int64_t tile = 0; tile < tiles; ++tile) {
    WriteTilePatches(*image, vision().normalisation, tile,
                     Matrix(host.data() + tile * vision().patches() * patches.cols,
                            vision().patches(), patches.cols));
  }
  kernels_.copy(*context_, std::as_bytes(std::span(host)),
                std::as_writable_bytes(std::span(patches.data, host.size())));
  const Matrix out = scratch_->AllocateMatrix(patches.rows, vision().width);
  const auto count = static_cast<size_t>(tiles * (1 + vision().patches()) * vision().width);
  std::vector<float> states =
      testing::NanFilled((vision().layers + 1) * static_cast<int64_t>(count));
  VisionTower(*model_, compute(), patches, out, states);
  for (int64_t layer = 0; layer <= vision().layers; ++layer) {
    const auto state = std::span(states).subspan(static_cast<size_t>(layer) * count, count);
    EXPECT_LE(Distance(state, Values<float>(*images_, fmt::format("photo.vision_state.{}", layer))),
              kVision)
        << layer;
  }
}

TEST_P(VisionGolden, LogitsAndGreedyAnswersOfPrompts) {
  for (const Json& entry : manifest_.at("prompts")) {
    const auto name = entry.at("name").get<std::string>();
    SCOPED_TRACE(name);
    const Ids ids = ToIds(*prompts_, name + ".ids");
    const std::vector<ImageFeatures> images = Encode(entry.at("images"), 3);
    testing::TestSequence sequence(config());
    const std::vector<float> logits = Logits(ids, images, std::ssize(ids), sequence.state);
    EXPECT_LE(Distance(logits, Values<float>(*prompts_, name + ".logits")), kLogits);

    const Ids greedy = ToIds(*prompts_, name + ".greedy");
    Ids said;
    std::vector<float> last(logits.end() - config().vocab_size, logits.end());
    while (said.size() < greedy.size()) {
      said.push_back(static_cast<int32_t>(std::ranges::max_element(last) - last.begin()));
      last = Logits({said.back()}, {}, 1, sequence.state);
    }
    EXPECT_EQ(said, greedy);
  }
}

// However tiles are put together and prompts are cut.
TEST_P(VisionGolden, TheSameBitsInAnyParts) {
  if (GetParam().kernels == "ref") GTEST_SKIP() << "ref sums in one order only";
  const Json names = Entry("prompts", "two_images").at("images");
  const Ids ids = ToIds(*prompts_, "two_images.ids");
  testing::TestSequence whole(config());
  const std::vector<float> expected = Logits(ids, Encode(names, 100), std::ssize(ids), whole.state);
  for (const int64_t chunk : {1, 17, 64}) {
    testing::TestSequence parts(config());
    EXPECT_TRUE(
        testing::SameBits(Logits(ids, Encode(names, chunk % 3 + 1), chunk, parts.state), expected))
        << chunk;
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, VisionGolden,
                         ::testing::Values(VisionCase{"ref", "ref", false},
                                           VisionCase{"cpu", "cpu", false},
                                           VisionCase{"guarded", "cpu", true}),
                         [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace fulmen
