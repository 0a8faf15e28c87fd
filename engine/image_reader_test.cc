#include "engine/image_reader.h"

#include <gtest/gtest.h>

#include "base/base64.h"
#include "engine/prompt_images.h"
#include "engine/recent_images.h"
#include "model/testing/tiny_vision_model.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

VisionConfig SmallTiles() { return *testing::TinyVisionModel::Geometry().vision; }

std::string SmallPicture() {
  return testing::ReadFileOrDie(testing::SourcePath("tests/golden/vl/images/small.png"));
}

TEST(ImageReader, ReadsDataUrlsAndWhatIsFetched) {
  const std::string url = "data:image/png;base64," + EncodeBase64(SmallPicture());
  const ImageReader alone(SmallTiles());
  const auto image = alone.Read(url, "here").value();
  EXPECT_EQ(alone.Read(url, "here").value(), image);  // the very same: it was not decoded again
  const auto refused = alone.Read("https://x/y.png", "here");
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().message.starts_with("here: an image is expected as a data URL"));

  int fetched = 0;
  const ImageReader fetching(SmallTiles(), {}, [&fetched](const std::string& asked) {
    EXPECT_EQ(asked, "https://x/y.png");
    ++fetched;
    return Result<std::string>(SmallPicture());
  });
  const auto first = fetching.Read("https://x/y.png", "here").value();
  const auto second = fetching.Read("https://x/y.png", "here").value();
  EXPECT_EQ(fetched, 2);  // what lies there may have changed
  EXPECT_EQ(ImageKey(*first, 0), ImageKey(*image, 0));
  EXPECT_EQ(ImageKey(*second, 7), ImageKey(*image, 7));
  EXPECT_NE(ImageKey(*first, 0), ImageKey(*first, 1));
}

TEST(ImageReader, ErrorsNameTheImage) {
  const ImageReader reader(SmallTiles(), {.bytes = 100});
  const auto problem = [&](const std::string& url) {
    const auto image = reader.Read(url, "there");
    return image ? std::string("none") : image.error().message;
  };
  EXPECT_TRUE(problem("data:image/png;base64,AAAA").starts_with("there: expected a PNG"));
  EXPECT_TRUE(
      problem("data:image/png;base64," + EncodeBase64(SmallPicture())).starts_with("there: "));
  EXPECT_TRUE(problem("data:text/plain,hi").starts_with("there: "));
}

TEST(RecentImages, KeepsTheLatestOfItsBytes) {
  const testing::TinyVisionModel model;
  const auto image = [&](uint32_t seed) { return model.Picture(seed, 28, 28); };
  const size_t bytes = image(1)->canvas.rgb.size() + image(1)->thumbnail.rgb.size();
  RecentImages recent(3 * bytes);
  for (const uint32_t seed : {1, 2, 3}) recent.Add(std::to_string(seed), image(seed));
  EXPECT_NE(recent.Find("1"), nullptr);
  recent.Add("4", image(4));
  EXPECT_NE(recent.Find("1"), nullptr);
  EXPECT_EQ(recent.Find("2"), nullptr);
  RecentImages none(bytes - 1);
  none.Add("1", image(1));
  EXPECT_EQ(none.Find("1"), nullptr);
}

}  // namespace
}  // namespace fulmen
