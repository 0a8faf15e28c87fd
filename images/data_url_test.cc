#include "images/data_url.h"

#include <gtest/gtest.h>

namespace fulmen {
namespace {

std::string DataUrlProblem(std::string_view url, int64_t most = 100) {
  const auto bytes = DecodeDataUrl(url, most, "image 1");
  return bytes ? "" : bytes.error().message;
}

TEST(DataUrl, GivesTheBytes) {
  EXPECT_EQ(DecodeDataUrl("data:image/png;base64,Zm9v", 3, ""), "foo");
  EXPECT_EQ(DecodeDataUrl("DATA:image/JPEG;name=a.jpg;BASE64,Zm8=", 2, ""), "fo");
  EXPECT_EQ(DecodeImageBase64("image/webp", "Zm9v", 100, ""), "foo");
  EXPECT_TRUE(IsDataUrl("Data:,"));
  EXPECT_FALSE(IsDataUrl("https://example.org/data:"));
}

TEST(DataUrl, SaysWhatIsWrong) {
  EXPECT_EQ(DataUrlProblem("http://a"),
            "image 1: expected a URL like \"data:image/png;base64,…\", found \"http://a\"");
  EXPECT_EQ(DataUrlProblem("data:image/png;base64"),
            "image 1: expected a URL like \"data:image/png;base64,…\", found "
            "\"data:image/png;base64\"");
  EXPECT_EQ(DataUrlProblem("data:image/png,Zm9v"),
            "image 1: expected a data URL in base64, found the type \"image/png\" without "
            "\";base64\"");
  EXPECT_EQ(DataUrlProblem("data:text/plain;base64,Zm9v"),
            "image 1: expected the media type image/png, image/jpeg, image/webp, image/gif or "
            "image/bmp, found \"text/plain\"");
  EXPECT_EQ(DataUrlProblem("data:image/png;base64,Zm9vYmFy", 3),
            "image 1: the image has 6 bytes, at most 3 are allowed");
  EXPECT_EQ(DataUrlProblem("data:image/png;base64,Zm9"),
            "image 1: expected base64 padded to whole groups of 4 characters, found 3 characters");
}

}  // namespace
}  // namespace fulmen
