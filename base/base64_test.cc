#include "base/base64.h"

#include <gtest/gtest.h>

namespace fulmen {
namespace {

std::string Message(std::string_view text) {
  const auto bytes = DecodeBase64(text, "the source");
  return bytes ? "" : bytes.error().message;
}

TEST(Base64, VectorsOfTheStandard) {  // RFC 4648, section 10
  EXPECT_EQ(DecodeBase64("", ""), "");
  EXPECT_EQ(DecodeBase64("Zg==", ""), "f");
  EXPECT_EQ(DecodeBase64("Zm8=", ""), "fo");
  EXPECT_EQ(DecodeBase64("Zm9v", ""), "foo");
  EXPECT_EQ(DecodeBase64("Zm9vYmFy", ""), "foobar");
  EXPECT_EQ(DecodeBase64("+/+/", ""), "\xfb\xff\xbf");
}

TEST(Base64, RefusesWhatNoEncoderWrites) {
  EXPECT_EQ(
      Message("Zm9vY"),
      "the source: expected base64 padded to whole groups of 4 characters, found 5 characters");
  EXPECT_EQ(Message("Zm9v\nZm8"), "the source: expected base64, found \"\\n\" at character 5");
  EXPECT_EQ(Message("Zm=v"), "the source: expected base64, found \"=\" at character 3");
  EXPECT_EQ(Message("===="), "the source: expected base64, found \"=\" at character 1");
  EXPECT_EQ(Message("-_-_"), "the source: expected base64, found \"-\" at character 1");
  EXPECT_EQ(Message("Zh=="),
            "the source: expected base64, found bits behind the last byte that are not zero");
}

}  // namespace
}  // namespace fulmen
