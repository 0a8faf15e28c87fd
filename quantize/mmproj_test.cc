// A model with images as two GGUF files, and back.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "base/json.h"
#include "images/decode.h"
#include "kernels/compute.h"
#include "model/forward.h"
#include "model/testing/test_sequence.h"
#include "model/vision.h"
#include "quantize/convert.h"
#include "quantize/folder.h"
#include "quantize/testing/mixes.h"
#include "tests/testing/compare.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::KeepGoing;

namespace fs = std::filesystem;

// The golden model, but for what GGUF has no key for, alphas that differ; and with tokens routed to
// all experts, so that no small change becomes one of experts.
class Mmproj : public ::testing::Test {
 protected:
  void SetUp() override {
    golden_ = testing::GoldenFolder("vl");
    if (!fs::exists(golden_ + "/model.safetensors")) {
      GTEST_SKIP() << "the compact goldens have no vl model";
    }
    fs::create_directory(folder());
    for (const char* name : {"model.safetensors", "preprocessor_config.json"}) {
      fs::copy(golden_ + "/" + name, folder() + "/" + name);
    }
    Json config = ReadJsonFile(golden_ + "/config.json").value();
    for (const char* kind : {"full_attention", "linear_attention", "mlp"}) {
      config["text_config"][fmt::format("layernorm_{}_alpha", kind)] = 1.5;
    }
    config["text_config"]["num_experts_per_tok"] = config["text_config"]["num_local_experts"];
    ASSERT_TRUE(WriteFileAtomically(folder() + "/config.json", config.dump()));
  }

  std::string folder() const { return temporary_ / "source"; }
  std::string file() const { return temporary_ / "m.gguf"; }
  std::string mmproj() const { return temporary_ / "mmproj-m.gguf"; }

  // `source` as GGUF, its text half in F32.
  void Write(const std::string& source, std::optional<DType> type, const std::string& path) {
    const ModelFiles files = ModelFiles::Open(source).value();
    const Model model = LoadModel(files).value();
    const auto planned = PlanGguf(files, model, {*FindMix("F32").value(), type}, path).value();
    const Status status = WriteGguf(model, planned, {}, pool_, KeepGoing);
    ASSERT_TRUE(status) << status.error().message;
  }

  ImageFeatures Look(const Model& model, const std::string& image) {
    const std::string path = golden_ + "/images/" + image;
    const Image pixels = DecodeImage(testing::ReadFileOrDie(path), {}, path).value();
    const VisionConfig& vision = *model.config.vision;
    ImageFeatures features(
        std::make_shared<const TiledImage>(MakeTiles(pixels, vision.tiles).value()), vision,
        scratch_.memory());
    features.Encode(model, compute_, features.tiles_left());
    return features;
  }

  static std::vector<float> ToVector(ConstMatrix matrix) {
    return {matrix.data, matrix.data + matrix.rows * matrix.cols};
  }

  // Of three tokens around an image, whose features get `noise` first.
  std::vector<float> Logits(const Model& model, const std::string& image,
                            std::span<const float> noise = {}) {
    const ImageFeatures features = Look(model, image);
    std::vector<float> seen = ToVector(features.matrix());
    for (size_t i = 0; i < noise.size(); ++i) seen[i] += noise[i];
    const Matrix matrix(seen.data(), features.matrix().rows, features.matrix().cols);
    const int64_t tokens = features.image().geometry.tokens;
    std::vector<int64_t> rows(static_cast<size_t>(tokens));
    FeatureRows(features.image().geometry, 0, rows);
    std::vector<int32_t> ids = {7, 11};
    ids.insert(ids.end(), rows.size(), model.config.vision->image_token);
    ids.push_back(13);
    testing::TestSequence sequence(model.config);
    EXPECT_TRUE(sequence.state.Reserve(std::ssize(ids)));
    ForwardBatch batch;
    batch.Add(ids, sequence.state, std::ssize(ids));
    batch.images.push_back({2, matrix, rows});
    std::vector<float> logits = testing::NanFilled(std::ssize(ids) * model.config.vocab_size);
    const Matrix out(logits.data(), std::ssize(ids), model.config.vocab_size);
    for (const Status& status : Forward(model, compute_, batch, out)) EXPECT_TRUE(status);
    return logits;
  }

  std::string golden_;
  testing::TemporaryFolder temporary_;
  ThreadPool pool_{2};
  Workspace scratch_;
  KernelContext context_{pool_, scratch_};
  Compute compute_{*SelectKernels("cpu").value(), context_};
};

double Distance(std::span<const float> a, std::span<const float> b) {
  double squares = 0;
  for (size_t i = 0; i < a.size(); ++i) squares += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
  return std::sqrt(squares);
}
double Norm(std::span<const float> a) { return Distance(a, std::vector<float>(a.size())); }

constexpr const char* kImage = "photo.png";

TEST_F(Mmproj, HoldsTheSameModel) {
  Write(folder(), std::nullopt, file());
  const Model was = LoadModel(folder()).value();
  const Model is = LoadModel(file()).value();
  EXPECT_EQ(VisionConfigToJson(*is.config.vision), VisionConfigToJson(*was.config.vision));
  EXPECT_EQ(PreprocessorConfigToJson(*is.config.vision),
            PreprocessorConfigToJson(*was.config.vision));
  EXPECT_EQ(is.config.max_position, was.config.max_position);
  ForEachTensor(is.config, [&](const TensorRow& row, int64_t layer, int64_t expert) {
    EXPECT_EQ(Dequantize(TensorAt<WeightMatrix>(is.weights, row, layer, expert)),
              Dequantize(TensorAt<WeightMatrix>(was.weights, row, layer, expert)))
        << row.gguf.name << " " << layer;
  });
  EXPECT_TRUE(testing::SameBits(Logits(is, kImage), Logits(was, kImage)));
}

TEST_F(Mmproj, BecomesTheSameFolder) {
  Write(folder(), std::nullopt, file());
  const ModelFiles gguf = ModelFiles::Open(file()).value();
  const Model model = LoadModel(gguf).value();
  const FolderPlan plan = PlanFolder(gguf, model, DType::kF32).value();
  const std::string back = temporary_ / "back";
  ASSERT_TRUE(WriteFolder(model, plan, back, pool_, KeepGoing));
  const Model was = LoadModel(folder()).value();
  const Model is = LoadModel(back).value();
  EXPECT_EQ(ConfigToJson(is.config, ""), ConfigToJson(was.config, ""));
  const auto& expected = was.checkpoint->tensors();
  ASSERT_EQ(is.checkpoint->tensors().size(), expected.size());
  for (const auto& [name, view] : is.checkpoint->tensors()) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(expected.contains(name));
    EXPECT_EQ(view.shape, expected.at(name).shape);
    EXPECT_TRUE(std::equal(view.data, view.data + view.bytes(), expected.at(name).data));
  }
}

// Of what is quantized, nothing but what is said: norms, biases and embeddings stay.
TEST_F(Mmproj, QuantizesMatricesAlone) {
  Write(folder(), DType::kQ8_0, file());
  const VisionWeights vision = LoadModel(file()).value().weights.vision;
  EXPECT_EQ(vision.projector_out.type, DType::kQ8_0);
  EXPECT_EQ(vision.layers[2].down.type, DType::kQ8_0);
  EXPECT_EQ(vision.layers[2].query.type, DType::kF16);  // rows of 48
  EXPECT_EQ(vision.patch_embedding.type, DType::kF32);
  EXPECT_EQ(vision.position_embedding.type, DType::kF32);
  EXPECT_EQ(vision.class_embedding.type, DType::kF32);
  EXPECT_EQ(vision.layers[2].down_bias.type, DType::kF32);
  EXPECT_EQ(vision.newline.type, DType::kF32);
}

// A block of Q8_0 has steps of its largest value / 127: about 2.1 deviations of 32 normal values,
// so weights are off by 2.1 / 127 / sqrt(12) = 0.5 % of their deviation, and so are activations,
// which are rounded likewise: each product by 0.7 %. Seven of them follow each other where none is
// weakened by what it is added to: two in each of three layers, and the projector's. Logits may
// move as far as they do by noise of that size, twice over since they are few.
TEST_F(Mmproj, RunsInEightBits) {
  constexpr double kOff = 0.007 * 2.65;
  const Model exact = LoadModel(folder()).value();
  Write(folder(), DType::kQ8_0, file());
  const Model coarse = LoadModel(file()).value();
  const std::vector<float> features = ToVector(Look(exact, kImage).matrix());
  const std::vector<float> close = ToVector(Look(coarse, kImage).matrix());
  EXPECT_FALSE(testing::SameBits(close, features));
  EXPECT_TRUE(testing::NearInNorm(close, features, kOff));

  const std::vector<float> logits = Logits(exact, kImage);
  const float size =
      static_cast<float>(kOff * Norm(features) / std::sqrt(static_cast<double>(features.size())));
  const std::vector<float> noisy =
      Logits(exact, kImage, testing::RandomNormal(std::ssize(features), 1, size));
  const double moved = Distance(noisy, logits) / Norm(logits);
  EXPECT_LT(moved, 0.2);
  EXPECT_TRUE(testing::NearInNorm(Logits(coarse, kImage), logits, 2 * moved));
}

// What a GGUF model says of itself is kept.
TEST_F(Mmproj, IsWrittenAgain) {
  Write(folder(), DType::kBF16, file());
  const std::string again = temporary_ / "again.gguf";
  Write(file(), DType::kF16, again);
  const ModelFiles was = ModelFiles::Open(file()).value();
  const ModelFiles is = ModelFiles::Open(again).value();
  const auto& metadata = is.mmproj()->header().metadata;
  EXPECT_EQ(metadata.size(), was.mmproj()->header().metadata.size());
  for (const auto& [key, value] : was.mmproj()->header().metadata) {
    SCOPED_TRACE(key);
    ASSERT_TRUE(metadata.contains(key));
    EXPECT_EQ(metadata.at(key).ToJson(), key == "general.file_type" ? Json(1) : value.ToJson());
  }
  EXPECT_EQ(LoadModel(is)->weights.vision.projector_in.type, DType::kF16);
}

TEST_F(Mmproj, SaysWhatItIs) {
  Write(folder(), DType::kBF16, file());
  const ModelFiles files = ModelFiles::Open(file()).value();
  const GgufHeader& header = files.mmproj()->header();
  const auto value = [&](const char* key) {
    const GgufValue* found = header.Find(key);
    return found == nullptr ? Json() : found->ToJson();
  };
  EXPECT_EQ(value("general.architecture"), "clip");
  EXPECT_EQ(value("general.type"), "mmproj");
  EXPECT_EQ(value("general.name"), "source");
  EXPECT_EQ(value("general.file_type"), 32);
  EXPECT_EQ(value("clip.projector_type"), "minimax-vl-01");
  EXPECT_EQ(value("clip.use_gelu"), true);
  EXPECT_EQ(value("clip.vision.projection_dim"), 64);
  EXPECT_EQ(value("clip.vision.image_grid_pinpoints").size(), 20U);
  EXPECT_EQ(value("minimax-vl-01.image_token_id"), 500);
  EXPECT_EQ(files.gguf()->header().Find("clip.projector_type"), nullptr);
}

TEST_F(Mmproj, AppearsWithTheModelOrNotAtAll) {
  const ModelFiles files = ModelFiles::Open(folder()).value();
  const Model model = LoadModel(files).value();
  const GgufPlan plan = {*FindMix("F32").value()};
  const auto planned = PlanGguf(files, model, plan, file()).value();
  size_t left = BytesOfTensors(planned);
  const Status status = WriteGguf(model, planned, {}, pool_, [&](size_t piece) {
    left -= piece;
    return left > 0;  // until the last piece of the second file
  });
  ASSERT_FALSE(status);
  EXPECT_FALSE(fs::exists(file()));
  EXPECT_FALSE(fs::exists(mmproj()));
}

TEST(CheckGgufPath, FindsNoNameForASecondFile) {
  const auto problem = [](const std::string& path, bool images) {
    const Status status = CheckGgufPath(path, images);
    return status ? "" : status.error().message;
  };
  const testing::TemporaryFolder folder;
  const std::string two =
      ": a model with images becomes two files, so OUT should be the name of a file";
  EXPECT_EQ(problem("-", true), "standard output" + two);
  EXPECT_EQ(problem("/dev/null", true), "/dev/null" + two);
  EXPECT_EQ(problem("-", false), "");
  EXPECT_EQ(problem(folder / "m.gguf", true), "");
  EXPECT_EQ(problem(folder / "m.gguf", false), "");
  ASSERT_TRUE(WriteFileAtomically(folder / "mmproj-m.gguf", ""));
  EXPECT_EQ(problem(folder / "m.gguf", true), "");
  EXPECT_EQ(problem(folder / "m.gguf", false),
            (folder / "mmproj-m.gguf") + ": would be taken for the vision half of " +
                (folder / "m.gguf") +
                ", which has none; give another name, or move that file away");
}

}  // namespace
}  // namespace fulmen
