#include "model/gguf_vision.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "model/testing/tiny_mmproj.h"
#include "model/weights.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::kGgmlF16;
using testing::kGgmlQ80;
using testing::TinyGguf;
using testing::TinyMmproj;
using Edit = std::function<void(TinyGguf&)>;

Result<Model> LoadVision(const Edit& edit) {
  const testing::TemporaryFolder folder;
  TinyGguf().Write(folder / "m.gguf");
  TinyGguf file = TinyMmproj();
  edit(file);
  file.Write(folder / "mmproj-m.gguf");
  return LoadModel(folder / "m.gguf");  // the mappings outlive the names
}

// Without the file's name; "" when the model is accepted.
std::string VisionProblemWith(const Edit& edit) {
  const Result<Model> model = LoadVision(edit);
  if (model) return "";
  const std::string& message = model.error().message;
  const size_t at = message.find("mmproj-m.gguf: ");
  EXPECT_NE(at, std::string::npos) << message;
  return message.substr(at + std::string("mmproj-m.gguf: ").size());
}

std::string VisionProblemWithout(const std::string& key) {
  return VisionProblemWith([&](TinyGguf& file) {
    file.metadata.erase(key);
    file.tensors.erase(key);
  });
}

std::string VisionProblemWithNumber(const std::string& key, uint32_t value) {
  return VisionProblemWith([&](TinyGguf& file) { file.Number("clip.vision." + key, value); });
}

std::string VisionProblemWithPinpoints(const std::vector<int32_t>& values) {
  return VisionProblemWith(
      [&](TinyGguf& file) { file.Numbers("clip.vision.image_grid_pinpoints", values); });
}

TEST(GgufVision, ReadsTheGeometry) {
  const Model model = LoadVision([](TinyGguf&) {}).value();
  ASSERT_TRUE(model.config.vision);
  const VisionConfig& vision = *model.config.vision;
  EXPECT_EQ(vision.tiles.tile, 28);
  EXPECT_EQ(vision.tiles.patch, 14);
  EXPECT_EQ(vision.width, 64);
  EXPECT_EQ(vision.ffn_size, 96);
  EXPECT_EQ(vision.heads, 2);
  EXPECT_EQ(vision.layers, 1);
  EXPECT_EQ(vision.norm_epsilon, 1e-6F);
  EXPECT_EQ(vision.image_token, 19);
  EXPECT_EQ(vision.normalisation.mean, (std::array{0.5F, 0.25F, 0.125F}));
  EXPECT_EQ(vision.normalisation.std, (std::array{1.0F, 2.0F, 4.0F}));
  ASSERT_EQ(vision.tiles.pinpoints.size(), 2U);
  EXPECT_EQ(vision.tiles.pinpoints[1].width, 56);
  EXPECT_EQ(vision.tiles.pinpoints[1].height, 28);
  EXPECT_EQ(model.config.max_position, 64);  // as the text half says
  EXPECT_EQ(Describe(model.weights.vision.patch_embedding), "F32 [64, 588]");
  EXPECT_EQ(model.checkpoint->tensors().size(),
            TinyGguf().tensors.size() + TinyMmproj().tensors.size());
}

TEST(GgufVision, Defaults) {
  const Model model = LoadVision([](TinyGguf& file) {
                        for (const char* key : {"attention.layer_norm_epsilon", "image_mean",
                                                "image_std", "mm_patch_merge_type"}) {
                          file.metadata.erase(std::string("clip.vision.") + key);
                        }
                      }).value();
  EXPECT_EQ(model.config.vision->norm_epsilon, 1e-5F);
  EXPECT_EQ(model.config.vision->normalisation.mean, ClipNormalisation().mean);
}

TEST(GgufVision, NamesOtherProjectors) {
  const std::string end = ", vision halves of minimax-vl-01 are supported";
  EXPECT_EQ(VisionProblemWith([](TinyGguf& file) { file.Text("clip.projector_type", "mlp"); }),
            "clip.projector_type is \"mlp\"" + end);
  EXPECT_EQ(VisionProblemWithout("clip.projector_type"), "clip.projector_type is \"\"" + end);
  EXPECT_EQ(VisionProblemWith([](TinyGguf& file) { file.Number("clip.projector_type", 1U); }),
            "clip.projector_type should be a string, found 1");
}

TEST(GgufVision, RefusesWhatParseVisionConfigRefuses) {
  EXPECT_EQ(VisionProblemWithNumber("patch_size", 0),
            "clip.vision.patch_size should be a whole number from 1 to 4096, found 0");
  EXPECT_EQ(VisionProblemWithNumber("patch_size", 13),
            "tiles of 28 pixels a side cannot be cut into patches of 13");
  EXPECT_EQ(VisionProblemWithNumber("block_count", UINT32_MAX),
            "clip.vision.block_count should be a whole number from 1 to 1024, found 4294967295");
  EXPECT_EQ(VisionProblemWithNumber("attention.head_count", 3),
            "clip.vision.embedding_length 64 should be a multiple of "
            "clip.vision.attention.head_count 3");
  EXPECT_EQ(VisionProblemWithout("clip.vision.image_size"),
            "clip.vision.image_size is missing, expected a whole number from 1 to 4096");
  EXPECT_EQ(VisionProblemWith([](TinyGguf& file) { file.Text("clip.vision.image_size", "28"); }),
            "clip.vision.image_size should be a whole number from 1 to 4096, found \"28\"");
  EXPECT_EQ(VisionProblemWith([](TinyGguf& file) {
              file.Numbers("clip.vision.feed_forward_length", {96, 96});
            }),
            "clip.vision.feed_forward_length should be a whole number from 1 to 65536, found "
            "[96,96]");
  EXPECT_EQ(VisionProblemWith([](TinyGguf& file) {
              file.Number("clip.vision.attention.layer_norm_epsilon", 0.0F);
            }),
            "clip.vision.attention.layer_norm_epsilon should be a number from 1e-12 to 1, found "
            "0.0");
}

TEST(GgufVision, PinpointsArePairs) {
  const std::string name = "clip.vision.image_grid_pinpoints ";
  EXPECT_EQ(VisionProblemWithPinpoints({28, 28, 28}),
            name + "should hold pairs of sides up to 16384, found [28]");
  EXPECT_EQ(VisionProblemWithPinpoints({28, -28}),
            name + "should hold pairs of sides up to 16384, found [28,-28]");
  EXPECT_EQ(VisionProblemWithPinpoints({}),
            name + "should list 1 to 1024 pairs of sides, found []");
  EXPECT_EQ(VisionProblemWithPinpoints(std::vector<int32_t>(2050, 28)),
            name + "should list 1 to 1024 pairs of sides, found \"an array of 2050 values\"");
  EXPECT_EQ(VisionProblemWithPinpoints({28, 30}),
            "a grid of 30 x 28 pixels cannot be cut into tiles of 28 a side");
  EXPECT_EQ(VisionProblemWithNumber("image_grid_pinpoints", 28),
            name + "should list 1 to 1024 pairs of sides, found 28");
}

TEST(GgufVision, ChannelsAreThree) {
  EXPECT_EQ(VisionProblemWith([](TinyGguf& file) {
              Floats(file, "clip.vision.image_std", {1, 1});
            }),
            "clip.vision.image_std should list three numbers from 1e-06 to 1000, found [1.0,1.0]");
  EXPECT_EQ(VisionProblemWith([](TinyGguf& file) {
              Floats(file, "clip.vision.image_std", {1, 1, 0});
            }),
            "clip.vision.image_std should list three numbers from 1e-06 to 1000, found "
            "[1.0,1.0,0.0]");
}

TEST(GgufVision, RefusesAnotherArithmetic) {
  EXPECT_EQ(VisionProblemWith([](TinyGguf& file) { Flag(file, "clip.use_gelu", false); }),
            "clip.use_gelu should be true, found false");
  EXPECT_EQ(VisionProblemWithout("clip.use_gelu"), "clip.use_gelu should be true, found nothing");
  EXPECT_EQ(VisionProblemWithout("clip.has_vision_encoder"),
            "clip.has_vision_encoder should be true, found nothing");
  EXPECT_EQ(VisionProblemWith(
                [](TinyGguf& file) { file.Text("clip.vision.mm_patch_merge_type", "flat"); }),
            "clip.vision.mm_patch_merge_type should be \"spatial_unpad\", found \"flat\"");
}

TEST(GgufVision, MayNotContradictTheTextHalf) {
  EXPECT_EQ(VisionProblemWithNumber("projection_dim", 64),
            "clip.vision.projection_dim is 64, but the text half has embeddings of 32 values");
  EXPECT_EQ(VisionProblemWithout("clip.vision.projection_dim"),
            "clip.vision.projection_dim is missing, expected a whole number from 1 to 2147483647");
  EXPECT_EQ(
      VisionProblemWith([](TinyGguf& file) { file.Number("minimax-vl-01.image_token_id", 20U); }),
      "minimax-vl-01.image_token_id should be a token from 0 to 19, found 20");
  EXPECT_EQ(VisionProblemWithout("minimax-vl-01.image_token_id"),
            "minimax-vl-01.image_token_id should be a token from 0 to 19, found nothing");
}

TEST(GgufVision, TensorsHaveToBeThere) {
  EXPECT_EQ(VisionProblemWithout("v.blk.0.ln1.bias"),
            "tensor \"v.blk.0.ln1.bias\" [64] is missing");
  EXPECT_EQ(VisionProblemWithout("v.image_newline"), "tensor \"v.image_newline\" [32] is missing");
  EXPECT_EQ(VisionProblemWith([](TinyGguf& file) { file.tensors["v.post_ln.weight"] = {{64}}; }),
            "the config calls for no tensor \"v.post_ln.weight\" (it describes 2 layers of 3 "
            "experts)");
  EXPECT_EQ(VisionProblemWith([](TinyGguf& file) {
              file.tensors["v.patch_embd.weight"] = {{588, 64}};
            }),
            "tensor \"v.patch_embd.weight\" has shape [64, 588], the config calls for [64, 3, 14, "
            "14]");
  const std::string twice = VisionProblemWith([](TinyGguf& file) {
    file.tensors["output.weight"] = {{32, 20}};
  });
  EXPECT_TRUE(twice.starts_with("tensor \"output.weight\" is also in ")) << twice;
}

TEST(GgufVision, MatricesMayBeQuantized) {
  const auto store = [](const std::string& name, const std::vector<uint64_t>& dims, uint32_t type,
                        size_t bytes) {
    return [=](TinyGguf& file) { file.tensors[name] = {dims, type, bytes}; };
  };
  const Model model = LoadVision(store("v.blk.0.ffn_down.weight", {96, 64}, kGgmlQ80, 102)).value();
  EXPECT_EQ(Describe(model.weights.vision.layers[0].down), "Q8_0 [64, 96]");
  EXPECT_EQ(VisionProblemWith(store("v.position_embd.weight", {64, 5}, kGgmlQ80, 68)),
            "tensor \"v.position_embd.weight\" has type Q8_0, norms, biases, positions and routers "
            "may be F32, F16 or BF16");
  EXPECT_EQ(VisionProblemWith(store("v.position_embd.weight", {64, 5}, kGgmlF16, 128)), "");
}

}  // namespace
}  // namespace fulmen
