#include "train/document_images.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/base64.h"
#include "base/file_io.h"
#include "tests/testing/bmp.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

const TileRules kTiles = {.tile = 8, .patch = 4, .pinpoints = {{8, 8}, {16, 8}}};

std::string Picture(int64_t width, int64_t height) {
  return testing::Bmp(width, height, [](int64_t x, int64_t y) {
    return std::array{static_cast<uint8_t>(9 * x), static_cast<uint8_t>(5 * y), uint8_t{70}};
  });
}

TEST(DocumentImages, AreFoundInTheOrderOfThePrompt) {
  const auto messages = ParseJson(R"([
      {"role": "system", "content": "none"},
      {"role": "user", "content": [{"type": "image", "path": "a/b.png"}, {"type": "text", "text": "x"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
      {"role": "user", "content": [{"type": "image", "path": "/c.png"}]}])",
                                  "m");
  const auto found = FindImages(*messages, "folder", "f:3");
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_EQ(found->size(), 3U);
  EXPECT_EQ((*found)[0].file, "folder/a/b.png");
  EXPECT_EQ((*found)[0].where, "f:3: messages[1].content[0]");
  EXPECT_EQ((*found)[1].file, "");
  EXPECT_EQ((*found)[1].url, "data:image/png;base64,AAAA");
  EXPECT_EQ((*found)[2].file, "/c.png");
}

TEST(DocumentImages, OtherPlacesAreRefused) {
  for (const char* part :
       {R"({"type": "image"})", R"({"type": "image", "path": 3})",
        R"({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}})",
        R"({"type": "image_url", "image_url": "data:"})"}) {
    const auto messages = ParseJson(fmt::format(R"([{{"content": [{}]}}])", part), "m");
    const auto found = FindImages(*messages, "folder", "f:3");
    ASSERT_FALSE(found) << part;
    EXPECT_EQ(
        found.error().message,
        "f:3: messages[0].content[0]: an image is expected as {\"type\": \"image\", \"path\": "
        "FILE}, or as an image_url with a data URL");
  }
}

TEST(DocumentImages, FilesAndDataUrlsGiveTheSamePixels) {
  const testing::TemporaryFolder folder;
  const std::string bytes = Picture(20, 10);
  ASSERT_TRUE(WriteFileAtomically(folder / "a.bmp", bytes));
  const auto file = ReadImage({folder / "a.bmp", "", "w"}, kTiles);
  ASSERT_TRUE(file) << file.error().message;
  const auto url = ReadImage({"", "data:image/bmp;base64," + EncodeBase64(bytes), "w"}, kTiles);
  ASSERT_TRUE(url) << url.error().message;
  EXPECT_EQ(file->canvas, url->canvas);
  EXPECT_EQ(file->thumbnail, url->thumbnail);
  EXPECT_EQ(file->geometry.grid, (Size{16, 8}));
  EXPECT_EQ(ReadImage({folder / "b.bmp", "", "w"}, kTiles).error().message,
            "w: " + folder / "b.bmp" + ": No such file or directory");
  ASSERT_TRUE(WriteFileAtomically(folder / "thin.bmp", Picture(1, 500)));
  EXPECT_TRUE(ReadImage({folder / "thin.bmp", "", "w"}, kTiles)
                  .error()
                  .message.starts_with("w: " + folder / "thin.bmp" + ": an image of 1 x 500"));
}

TEST(DocumentImages, EachTokenBecomesThoseOfItsImage) {
  const testing::TemporaryFolder folder;
  std::vector<TiledImage> images;
  for (const auto& [width, height] : {std::pair(8, 8), std::pair(20, 10)}) {
    ASSERT_TRUE(WriteFileAtomically(folder / "a.bmp", Picture(width, height)));
    images.push_back(*ReadImage({folder / "a.bmp", "", "w"}, kTiles));
  }
  const int64_t square = images[0].geometry.tokens;
  const int64_t wide = images[1].geometry.tokens;
  ASSERT_EQ(square, 10);
  // The second stands in words that count.
  MaskedTokens document = {{1, 9, 2, 3, 9, 4}, {0, 0, 0, 1, 1, 1}};
  const auto placed = ExpandImages(images, 9, "w", document);
  ASSERT_TRUE(placed) << placed.error().message;
  ASSERT_EQ(placed->size(), 2U);
  EXPECT_EQ((*placed)[0].first, 1);
  EXPECT_EQ((*placed)[1].first, 1 + square + 2);
  EXPECT_EQ((*placed)[1].canvas.data(), images[1].canvas.rgb.data());
  std::vector<int32_t> ids = {1};
  std::vector<uint8_t> mask = {0};
  ids.insert(ids.end(), static_cast<size_t>(square), 9);
  ids.insert(ids.end(), {2, 3});
  mask.resize(ids.size() - 1);
  mask.push_back(1);
  ids.insert(ids.end(), static_cast<size_t>(wide), 9);
  mask.resize(ids.size());
  ids.push_back(4);
  mask.push_back(1);
  EXPECT_EQ(document.ids, ids);
  EXPECT_EQ(document.loss_mask, mask);

  MaskedTokens more = {{9, 9, 9}, {0, 0, 0}};
  EXPECT_EQ(ExpandImages(images, 9, "w", more).error().message,
            "w: an image is expected for every image token, found 2 for 3");
}

}  // namespace
}  // namespace fulmen
