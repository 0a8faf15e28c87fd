#include "train/dataset.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/file_io.h"
#include "base/json.h"
#include "formats/safetensors.h"
#include "tests/testing/golden.h"
#include "train/shard_writer.h"
#include "train/testing/tiny_pictures.h"

namespace fulmen {
namespace {

using Ids = std::vector<int32_t>;
using Flags = std::vector<uint8_t>;

class DatasetTest : public ::testing::Test {
 protected:
  std::string OpenError() const {
    const auto dataset = Dataset::Open(folder_.path());
    if (dataset) return "no error";
    const std::string& message = dataset.error().message;
    EXPECT_TRUE(message.starts_with(folder_.path())) << message;
    return message.substr(std::min(message.size(), folder_.path().size() + 1));
  }

  void WriteShard(const Ids& tokens, const std::vector<int64_t>& starts) {
    auto file = SafetensorsWriter::Create(
        folder_ / ShardName(0), {{"starts", DType::kI64, {static_cast<int64_t>(starts.size())}},
                                 {"tokens", DType::kI32, {static_cast<int64_t>(tokens.size())}}});
    ASSERT_TRUE(file && file->Write(std::as_bytes(std::span(starts))) &&
                file->Write(std::as_bytes(std::span(tokens))) && file->Finish());
  }

  testing::TemporaryFolder folder_;
};

TEST_F(DatasetTest, ReadsWhatWasWritten) {
  const std::vector<std::pair<Ids, Flags>> documents = {
      {{1, 2, 3}, {}}, {{4}, {}},          {{5, 6, 7, 8, 9, 10, 11}, {}},  // longer than a shard
      {{12, 13}, {}},  {{14, 15}, {0, 1}}, {{16}, {}},
  };
  ShardWriter writer(folder_.path(), 5, 20, "fingerprint");
  for (const auto& [tokens, loss_mask] : documents) ASSERT_TRUE(writer.Add({tokens, loss_mask}));
  ASSERT_TRUE(writer.Finish());
  EXPECT_EQ(writer.info().shards, 3);
  EXPECT_EQ(writer.info().loss_tokens, 15);

  auto opened = Dataset::Open(folder_.path());
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  const Dataset dataset = *std::move(opened);
  EXPECT_EQ(dataset.documents(), 6);
  EXPECT_EQ(dataset.tokens(), 16);
  EXPECT_EQ(dataset.vocabulary(), 20);
  EXPECT_EQ(dataset.tokenizer(), "fingerprint");
  for (size_t i = 0; i < documents.size(); ++i) {
    const Document document = dataset.document(static_cast<int64_t>(i));
    EXPECT_EQ(Ids(document.tokens.begin(), document.tokens.end()), documents[i].first);
    // Documents 3 to 5 share a shard with one that has a mask.
    Flags expected = documents[i].second;
    if (i >= 3 && expected.empty()) expected.assign(documents[i].first.size(), 1);
    EXPECT_EQ(Flags(document.loss_mask.begin(), document.loss_mask.end()), expected) << i;
  }
}

TEST_F(DatasetTest, LyingFilesAreRefused) {
  const Json info = {{"documents", 2},  {"tokens", 5},      {"learnt_tokens", 5},
                     {"vocabulary", 8}, {"tokenizer", "t"}, {"shards", 1}};
  EXPECT_EQ(OpenError(), "dataset.json: No such file or directory");
  ASSERT_TRUE(WriteFileAtomically(folder_ / "dataset.json", info.dump()));
  EXPECT_NE(OpenError(), "no error");  // no shard
  const auto error = [this](const Ids& tokens, const std::vector<int64_t>& starts) {
    WriteShard(tokens, starts);
    return OpenError();
  };
  EXPECT_EQ(error({1, 2, 3, 4, 7}, {0, 2, 5}), "no error");
  const std::string shard = "shard-00000.safetensors: ";
  EXPECT_EQ(error({1, 2, 3, 4, 8}, {0, 2, 5}),
            shard + "token 4 is 8, which is not in the vocabulary of 8");
  EXPECT_EQ(error({1, -2, 3, 4, 7}, {0, 2, 5}),
            shard + "token 1 is -2, which is not in the vocabulary of 8");
  EXPECT_EQ(error({1, 2, 3, 4, 7}, {0, 2, 6}),
            shard + "'starts' should rise from 0 to 5, found 0 to 6");
  EXPECT_EQ(error({1, 2, 3, 4, 7}, {1, 2, 5}),
            shard + "'starts' should rise from 0 to 5, found 1 to 5");
  EXPECT_EQ(error({1, 2, 3, 4, 7}, {0, 7, 5}),
            shard + "document 1 begins at token 7 and ends at 5");
  EXPECT_EQ(error({1, 2, 3, 4, 7}, {0, 0, 5}),
            shard + "document 0 begins at token 0 and ends at 0");
  EXPECT_EQ(error({}, {}), shard + "'starts' should rise from 0 to 0, found nothing");
  EXPECT_EQ(error({1, 2, 3, 4, 5, 6}, {0, 2, 6}),
            "dataset.json states 2 documents of 5 tokens, its 1 shards hold 2 of 6");
}

// Tiles of 8 with patches of 4, so 10 tokens for a square.
TileRules TinyTiles() { return {.tile = 8, .patch = 4, .pinpoints = {{8, 8}, {16, 8}}}; }

TEST_F(DatasetTest, KeepsImagesBesideTheirTokens) {
  const testing::TinyDocument square(0, TinyTiles(), {.width = 20, .height = 20});
  const testing::TinyDocument wide(1, TinyTiles(), {.width = 31, .height = 15});
  ShardWriter writer(folder_.path(), 30, 20, "t", TinyTiles());
  ASSERT_TRUE(writer.Add({Ids{1, 2, 3}, {}}));
  ASSERT_TRUE(writer.Add(square.View()));
  ASSERT_TRUE(writer.Add(wide.View()));  // in the next shard
  ASSERT_TRUE(writer.Add({Ids{4}, {}}));
  ASSERT_TRUE(writer.Finish());
  EXPECT_EQ(writer.info().images, 2);
  const auto dataset = Dataset::Open(folder_.path());
  ASSERT_TRUE(dataset) << dataset.error().message;
  EXPECT_EQ(dataset->images(), 2);
  EXPECT_EQ(dataset->tiles().pinpoints, TinyTiles().pinpoints);
  EXPECT_TRUE(dataset->document(0).images.empty());
  EXPECT_TRUE(dataset->document(3).images.empty());
  for (const auto& [index, expected] : {std::pair(1, &square), std::pair(2, &wide)}) {
    const Document document = dataset->document(index);
    ASSERT_EQ(document.images.size(), 1U);
    EXPECT_EQ(document.images[0].first, 0);
    EXPECT_EQ(document.images[0].geometry.tokens, std::ssize(expected->tokens) - 2);
    const TiledImage image = TiledImageOf(document.images[0]);
    EXPECT_EQ(image.canvas, expected->pixels.canvas);
    EXPECT_EQ(image.thumbnail, expected->pixels.thumbnail);
  }
}

TEST(Dataset, ImagesThatLieAreRefused) {
  const std::vector<int64_t> starts = {0, 12, 30};
  // An image of 10 tokens in each document; the thumbnail and the canvas are 192 bytes each.
  std::vector<int64_t> firsts = {2, 15};
  std::vector<int32_t> sizes = {8, 8, 100, 100};
  std::vector<uint8_t> pixels(static_cast<size_t>(4 * 192));
  const auto check = [&] {
    const auto images = CheckImages({firsts, sizes, pixels}, TinyTiles(), starts, "s");
    return images ? std::string("no error") : images.error().message;
  };
  const auto images = CheckImages({firsts, sizes, pixels}, TinyTiles(), starts, "s");
  ASSERT_TRUE(images) << images.error().message;
  EXPECT_EQ((*images)[1].first, 3);
  EXPECT_EQ((*images)[1].canvas.data(), pixels.data() + 3 * 192);
  const std::string place = " of 10 tokens should lie in one document behind token ";
  firsts = {3, 15};
  EXPECT_EQ(check(), "s: image 0" + place + "0, found it at token 3");
  firsts = {-1, 15};
  EXPECT_EQ(check(), "s: image 0" + place + "0, found it at token -1");
  firsts = {2, 11};
  EXPECT_EQ(check(), "s: image 1" + place + "12, found it at token 11");
  firsts = {2, INT64_MAX};
  EXPECT_EQ(check(), fmt::format("s: image 1{}12, found it at token {}", place, INT64_MAX));
  firsts = {2, 15};
  sizes[3] = 0;
  EXPECT_EQ(check(), "s: image 1 has 100 x 0 pixels");
  sizes = {8, 8, 1, 60000};
  EXPECT_NE(check().find("too thin"), std::string::npos) << check();
  sizes = {8, 8, 100};
  EXPECT_EQ(check(), "s: 'image_sizes' should have 4 elements, found 3");
  sizes = {8, 8, 100, 100};
  pixels.pop_back();
  EXPECT_EQ(check(), "s: 'image_pixels' ends within image 1");
  pixels.resize(4 * 192 + 1);
  EXPECT_EQ(check(), "s: 'image_pixels' has 1 bytes of no image");
}

TEST_F(DatasetTest, CountsOfImagesAreChecked) {
  ShardWriter writer(folder_.path(), 100, 20, "t", TinyTiles());
  ASSERT_TRUE(writer.Add(testing::TinyDocument(0, TinyTiles(), {.width = 8, .height = 8}).View()));
  ASSERT_TRUE(writer.Finish());
  Json info = *ReadJsonFile(folder_ / "dataset.json");
  const auto error = [&] {
    EXPECT_TRUE(WriteFileAtomically(folder_ / "dataset.json", info.dump()));
    return OpenError();
  };
  info["images"]["count"] = 2;
  EXPECT_EQ(error(), "dataset.json states 2 images, its shards hold 1");
  info["images"]["patch_size"] = 3;
  EXPECT_EQ(error(),
            "dataset.json: images: tiles of 8 pixels a side cannot be cut into patches of 3");
  info["images"] = 7;
  EXPECT_EQ(error(), "dataset.json: images: expected an object, found 7");
  info.erase("images");
  EXPECT_EQ(error(), "shard-00000.safetensors: images are in it, and dataset.json states none");
}

TEST(Dataset, MasksAreChecked) {
  const Ids tokens = {1, 2, 3};
  const std::vector<int64_t> starts = {0, 3};
  EXPECT_TRUE(CheckShard(tokens, starts, Flags{0, 1, 1}, 4, "s"));
  EXPECT_FALSE(CheckShard(tokens, starts, Flags{0, 1}, 4, "s"));
  EXPECT_FALSE(CheckShard(tokens, starts, Flags{0, 1, 2}, 4, "s"));
}

TEST(Dataset, InfoNamesWhatIsWrong) {
  const auto error = [](const char* json) {
    const auto info = ParseDatasetInfo(json, "d");
    return info ? "no error" : info.error().message;
  };
  EXPECT_EQ(error("[]"), "d: an object is expected, found array");
  EXPECT_EQ(error("{}"), "d: 'documents' should be a whole number, found nothing");
  EXPECT_EQ(error(R"({"documents": -1})"), "d: 'documents' should be a whole number, found -1");
  EXPECT_EQ(error(R"({"documents": 9223372036854775808})"),
            "d: 'documents' should be a whole number, found 9223372036854775808");
  EXPECT_EQ(error(R"({"documents": 1, "tokens": 1, "learnt_tokens": 1, "vocabulary": 1,
                      "shards": 1, "tokenizer": 1})"),
            "d: 'tokenizer' should be a string");
}

}  // namespace
}  // namespace fulmen
