#include <gtest/gtest.h>

#include <random>

#include "base/utf8.h"
#include "tests/testing/golden.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/testing/minimax.h"

namespace fulmen {
namespace {

constexpr const char* kBad = "\uFFFD";

TEST(ByteLevel, ThereAndBack) {
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.push_back(static_cast<char>(byte));
  const std::string spelling = SpellingFromBytes(bytes);
  EXPECT_EQ(BytesFromSpelling(spelling), bytes);
  EXPECT_EQ(SpellingFromBytes(" a\n"), "\u0120a\u010A");
  EXPECT_EQ(BytesFromSpelling("a b"), std::nullopt);
  EXPECT_EQ(BytesFromSpelling("\u4F60"), std::nullopt);
}

TEST(Normalizer, Nfc) {
  EXPECT_EQ(NormalizeNfc("e\u0301x"), "\u00E9x");
  EXPECT_EQ(NormalizeNfc("\xFF"
                         "e\u0301\x80"),
            "\xFF\u00E9\x80");
  EXPECT_EQ(NormalizeNfc("\u1100\u1161"), "\uAC00");
  EXPECT_EQ(NormalizeNfc(""), "");
}

// Random bytes in random tokens: what comes out at every step is whole characters, and all of it
// together is what decoding at once gives.
TEST(StreamDecoder, NeverHalfACharacter) {
  const std::string folder = testing::GoldenFolder("tokenizer/small");
  if (folder.empty()) GTEST_SKIP() << "golden/tokenizer/small is absent";
  const auto tokenizer = Tokenizer::Load(folder);
  ASSERT_TRUE(tokenizer.has_value());
  std::mt19937 random(5);
  for (int round = 0; round < 3000; ++round) {
    std::vector<int32_t> ids;
    const auto length = random() % 30;
    while (ids.size() < length) {
      if (random() % 2 == 0) {
        ids.push_back(static_cast<int32_t>(random() % 512));
        continue;
      }
      std::string character;
      AppendUtf8(static_cast<uint32_t>(random() % 0x110000), character);
      for (const char byte : character) ids.push_back(*tokenizer->TokenId({&byte, 1}));
    }
    StreamDecoder decoder(*tokenizer);
    std::string streamed;
    for (const int32_t id : ids) {
      const std::string text = decoder.Add(id);
      ASSERT_EQ(ReplaceInvalidUtf8(text), text);
      streamed += text;
    }
    streamed += decoder.Flush();
    ASSERT_EQ(streamed, ReplaceInvalidUtf8(*tokenizer->Decode(ids)));
  }
  // Nothing is held back that no later token can change.
  StreamDecoder decoder(*tokenizer);
  EXPECT_EQ(decoder.Add(*tokenizer->TokenId("\xE4")), "");
  EXPECT_EQ(decoder.Add(*tokenizer->TokenId("a")), std::string(kBad) + "a");
  EXPECT_EQ(decoder.Add(100000), "");
  EXPECT_EQ(decoder.Flush(), "");
}

}  // namespace
}  // namespace fulmen
