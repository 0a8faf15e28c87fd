#include "images/tiles.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "base/json.h"
#include "formats/checkpoint.h"
#include "images/decode.h"
#include "images/testing/tile_rules.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

const Normalisation kClip = {{0.48145466F, 0.4578275F, 0.40821073F},
                             {0.26862954F, 0.26130258F, 0.27577711F}};

struct Golden {
  std::string folder = testing::GoldenFolder("vl");
  Json manifest = *ReadJsonFile(folder + "/manifest.json");
  TileRules rules = testing::RulesOf(ReadJsonFile(folder + "/grid_cases.json")->at("tiny"));

  Image Decode(const std::string& file) const {
    auto image = DecodeImage(testing::ReadFileOrDie(folder + "/" + file), {}, file);
    EXPECT_TRUE(image) << image.error().message;
    return *std::move(image);
  }
};

std::vector<uint8_t> BytesOf(const TensorView& tensor) {
  EXPECT_EQ(tensor.dtype, DType::kU8);
  const auto* data = reinterpret_cast<const uint8_t*>(tensor.data);
  return {data, data + tensor.elements()};
}

// The tile that patches were cut from, as [3, tile, tile].
std::vector<float> Together(const TileGeometry& plan, ConstMatrix patches) {
  std::vector<float> pixels(static_cast<size_t>(3 * plan.tile * plan.tile));
  const int64_t across = plan.tile / plan.patch;
  for (int64_t p = 0; p < patches.rows; ++p) {
    for (int64_t i = 0; i < patches.cols; ++i) {
      const int64_t c = i / (plan.patch * plan.patch);
      const int64_t y = p / across * plan.patch + i / plan.patch % plan.patch;
      const int64_t x = p % across * plan.patch + i % plan.patch;
      pixels[static_cast<size_t>((c * plan.tile + y) * plan.tile + x)] = patches.row(p)[i];
    }
  }
  return pixels;
}

void ExpectPixels(const TiledImage& made, const TensorView& expected) {
  const TileGeometry& plan = made.geometry;
  const int64_t width = 3 * plan.patch * plan.patch;
  std::vector<float> patches(static_cast<size_t>(plan.patches_per_tile() * width));
  ASSERT_EQ(expected.rows(), 1 + plan.tiles);
  for (int64_t tile = 0; tile <= plan.tiles; ++tile) {
    std::fill(patches.begin(), patches.end(), NAN);
    const Matrix out(patches.data(), plan.patches_per_tile(), width);
    WriteTilePatches(made, kClip, tile, out);
    const std::vector<float> pixels = Together(plan, out);
    const auto* reference = reinterpret_cast<const float*>(expected.Slice(tile).data);
    for (size_t i = 0; i < pixels.size(); ++i) {
      ASSERT_NEAR(pixels[i], reference[i], 2e-6) << "tile " << tile << ", " << i;
    }
  }
}

TEST(Tiles, GoldenImages) {
  const Golden golden;
  const std::string path = golden.folder + "/expected_images.safetensors";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "the full set is not here";
  const auto expected = Checkpoint::Open(path);
  ASSERT_TRUE(expected) << expected.error().message;
  for (const Json& entry : golden.manifest.at("images")) {
    const auto name = entry.at("name").get<std::string>();
    SCOPED_TRACE(name);
    const Image image = golden.Decode(entry.at("file").get<std::string>());
    ASSERT_EQ(image.rgb, BytesOf(expected->tensors().at(name + ".rgb")));
    const auto made = MakeTiles(image, golden.rules);
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(made->canvas.rgb, BytesOf(expected->tensors().at(name + ".canvas")));
    EXPECT_EQ(made->thumbnail.rgb, BytesOf(expected->tensors().at(name + ".thumbnail")));
    EXPECT_EQ(made->geometry.tokens, entry.at("tokens").get<int64_t>());
    ExpectPixels(*made, expected->tensors().at(name + ".pixel_values"));
  }
}

// The same pictures where the full set is not at hand: the upper halves of digests of what the test
// before compares byte by byte.
TEST(Tiles, DigestsOfGoldenImages) {
  struct Digests {
    uint64_t rgb, canvas, thumbnail;
  };
  const std::map<std::string, Digests> expected = {
      {"photo", {0x453e4fb1b4046445, 0x8ec9845c4daa709c, 0x1724688a39cea594}},
      {"jpeg", {0xea2fa48c17677712, 0x90cbbfea64b07faf, 0xcc6409b274a01982}},
      {"small", {0x9150553eae57faa3, 0x710af2aa1dd68223, 0xf0ffc7e1edb7fdd2}},
      {"wide", {0x398981eb7d9e37db, 0x7760a1578ba2b07c, 0x3ae633d2ea1edb44}},
      {"tall", {0x2cc76beabd85ff7b, 0x71ea064114890af9, 0xd0f4cb582fa1e228}},
      {"exact", {0xb3c354e0e5ef3c8d, 0xb3c354e0e5ef3c8d, 0xe4c4266f573ee46d}},
      {"gray", {0x5d426ff90d08220c, 0xf8d64d86403f63fa, 0x3ac09d2e60022934}},
      {"rgba", {0x6ba3670845a5c08f, 0x57c381d9140830a8, 0x42a82f5f6574913c}},
      {"palette", {0x9e90ddc9cc53743c, 0xcd82dcb34498e88b, 0x3cc84923fd01566b}},
      {"sliver", {0x0187e2fb5e9bd140, 0xfbbfd192890b08f3, 0xbfe680ad072a6af7}},
  };
  const Golden golden;
  for (const Json& entry : golden.manifest.at("images")) {
    const auto name = entry.at("name").get<std::string>();
    const auto made = MakeTiles(golden.Decode(entry.at("file").get<std::string>()), golden.rules);
    ASSERT_TRUE(made) << made.error().message;
    ASSERT_TRUE(expected.contains(name)) << name;
    EXPECT_EQ(made->digest.high, expected.at(name).rgb) << name;
    EXPECT_EQ(DigestOf(made->canvas).high, expected.at(name).canvas) << name;
    EXPECT_EQ(DigestOf(made->thumbnail).high, expected.at(name).thumbnail) << name;
  }
}

TEST(Tiles, DigestIsOfPixelsAndShape) {
  const Image image{2, 3, std::vector<uint8_t>(18, 7)};
  Image turned{3, 2, image.rgb};
  EXPECT_NE(DigestOf(image), DigestOf(turned));
  Image other = image;
  other.rgb.back() = 8;
  EXPECT_NE(DigestOf(image), DigestOf(other));
  EXPECT_EQ(DigestOf(image), DigestOf(Image(image)));
}

TEST(Tiles, RefusesWhatIsTooThin) {
  const Golden golden;
  const auto made = MakeTiles({1, 3000, std::vector<uint8_t>(9000)}, golden.rules);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().message,
            "an image of 1 x 3000 pixels is too thin: in a grid of 56 x 56 nothing is left of it");
}

}  // namespace
}  // namespace fulmen
