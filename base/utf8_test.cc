#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace fulmen {
namespace {

constexpr const char* kBad = "\uFFFD";

// Each expectation is what bytes.decode(errors="replace") of Python gives.
TEST(Utf8, ReplacesAsPythonDoes) {
  const std::string r = kBad;
  EXPECT_EQ(ReplaceInvalidUtf8("abc \u4F60 \U0001F600"), "abc \u4F60 \U0001F600");
  EXPECT_EQ(ReplaceInvalidUtf8("\xFF"), r);
  EXPECT_EQ(ReplaceInvalidUtf8("\x80\x80"), r + r);
  EXPECT_EQ(ReplaceInvalidUtf8("\xE4\xBD"), r);  // one for a truncated character
  EXPECT_EQ(ReplaceInvalidUtf8("\xE4\xBDz"), r + "z");
  EXPECT_EQ(ReplaceInvalidUtf8("\xF0\x9F\x98z"), r + "z");
  EXPECT_EQ(ReplaceInvalidUtf8("\xC0\xAF"), r + r);  // overlong
  EXPECT_EQ(ReplaceInvalidUtf8("\xE0\x80\x80"), r + r + r);
  EXPECT_EQ(ReplaceInvalidUtf8("\xED\xA0\x80"), r + r + r);  // a surrogate
  EXPECT_EQ(ReplaceInvalidUtf8("\xF4\x90\x80\x80"), r + r + r + r);
  EXPECT_EQ(ReplaceInvalidUtf8("\xF5\xC3\xA9"), r + "\u00E9");
}

TEST(Utf8, EveryCodePointThereAndBack) {
  for (uint32_t code = 0; code < 0x110000; ++code) {
    if (code >= 0xD800 && code < 0xE000) continue;
    std::string text;
    AppendUtf8(code, text);
    const Utf8Char c = DecodeUtf8(text.data(), text.data() + text.size());
    ASSERT_EQ(c.kind, Utf8Char::Kind::kValid);
    ASSERT_EQ(c.code, code);
    ASSERT_EQ(c.bytes, text.size());
  }
}

}  // namespace
}  // namespace fulmen
