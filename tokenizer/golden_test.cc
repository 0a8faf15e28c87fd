// The tokenizer and chat goldens, to the letter.
#include <gtest/gtest.h>
#include <openssl/sha.h>

#include "tokenizer/chat.h"
#include "tokenizer/testing/minimax.h"

namespace fulmen {
namespace {

using Markers = Tokenizer::Markers;
using Ids = std::vector<int32_t>;

void ExpectCases(const Tokenizer& tokenizer, const Json& cases, Markers markers) {
  ASSERT_FALSE(cases.empty());
  for (const Json& item : cases) {
    const auto text = item["text"].get<std::string>();
    const Ids ids = tokenizer.Encode(text, markers);
    EXPECT_EQ(ids, item["ids"].get<Ids>()) << text;
    const auto decoded = tokenizer.Decode(ids);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(*decoded, text);
  }
}

std::string Sha256OfIds(const Ids& ids) {
  std::string bytes;
  for (const int32_t id : ids) {
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(id >> shift));
  }
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  std::string hex;
  for (const unsigned char byte : digest) hex += fmt::format("{:02x}", byte);
  return hex;
}

class MinimaxGolden : public ::testing::Test {
 protected:
  void SetUp() override {
    tokenizer_ = MinimaxTokenizer();
    if (tokenizer_ == nullptr) GTEST_SKIP() << "golden/tokenizer/minimax is absent";
    cases_ = ReadGoldenJson(testing::GoldenFolder("tokenizer/minimax") + "/cases.json");
  }

  const Tokenizer* tokenizer_ = nullptr;
  Json cases_;
};

TEST_F(MinimaxGolden, Cases) {
  ExpectCases(*tokenizer_, cases_["special_parsed"], Markers::kParse);
  ExpectCases(*tokenizer_, cases_["plain_text"], Markers::kPlain);
  ExpectCases(*tokenizer_, cases_["fuzz"], Markers::kPlain);
}

TEST_F(MinimaxGolden, Files) {
  if (testing::SharedRoot().empty()) GTEST_SKIP() << "data/text is absent";
  ASSERT_FALSE(cases_["files"].empty());
  for (const auto& [name, expected] : cases_["files"].items()) {
    const std::string text = testing::ReadFileOrDie(testing::SharedRoot() + "/data/text/" + name);
    const Ids ids = tokenizer_->Encode(text, Markers::kPlain);
    EXPECT_EQ(ids.size(), expected["count"].get<size_t>()) << name;
    EXPECT_EQ(Sha256OfIds(ids), expected["sha256_of_ids_as_le_u32"].get<std::string>()) << name;
    const auto first = expected["first"].get<Ids>();
    EXPECT_EQ(Ids(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(first.size())), first) << name;
    const auto decoded = tokenizer_->Decode(ids);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_TRUE(*decoded == text) << name;
  }
}

// tokenizer.json says the same as vocab.json, merges.txt and what is published about them.
TEST_F(MinimaxGolden, TokenizerJson) {
  const std::string folder = testing::GoldenFolder("tokenizer/minimax");
  const Result<std::string> text = ReadFile(folder + "/tokenizer.json");
  if (testing::SharedRoot().empty()) GTEST_SKIP() << "the compact golden has no tokenizer.json";
  ASSERT_TRUE(text.has_value()) << text.error().message;
  const auto parsed = Tokenizer::Parse(*text, "tokenizer.json");
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  ASSERT_EQ(parsed->vocab_size(), 200064);
  ASSERT_EQ(tokenizer_->vocab_size(), 200064);
  for (int32_t id = 0; id < 200064; ++id) {
    ASSERT_EQ(parsed->TokenBytes(id), tokenizer_->TokenBytes(id)) << id;
    ASSERT_EQ(parsed->IsSpecial(id), tokenizer_->IsSpecial(id)) << id;
  }
  ExpectCases(*parsed, cases_["special_parsed"], Markers::kParse);
  ExpectCases(*parsed, cases_["plain_text"], Markers::kPlain);
  ExpectCases(*parsed, cases_["fuzz"], Markers::kPlain);
}

TEST(SmallGolden, Cases) {
  const std::string folder = testing::GoldenFolder("tokenizer/small");
  if (folder.empty()) GTEST_SKIP() << "golden/tokenizer/small is absent";
  const auto tokenizer = Tokenizer::Load(folder);
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->vocab_size(), 512);
  const Json cases = ReadGoldenJson(folder + "/cases.json");
  ExpectCases(*tokenizer, cases["special_parsed"], Markers::kParse);
  ExpectCases(*tokenizer, cases["fuzz"], Markers::kPlain);
}

TEST(ChatGolden, Cases) {
  const std::string folder = testing::GoldenFolder("chat");
  const Tokenizer* tokenizer = MinimaxTokenizer();
  if (folder.empty() || tokenizer == nullptr) GTEST_SKIP() << "golden/chat is absent";
  const Json cases = ReadGoldenJson(folder + "/cases.json");
  ASSERT_EQ(cases.size(), 100u);
  for (const Json& item : cases) {
    const std::string name =
        item["format"].get<std::string>() + " " + item["case"].get<std::string>();
    const auto format = ChatFormatFromName(item["format"].get<std::string>());
    ASSERT_TRUE(format.has_value()) << name;
    const auto pieces = FormatChat(*format, item);
    ASSERT_TRUE(pieces.has_value()) << name << ": " << pieces.error().message;
    EXPECT_EQ(ChatText(*pieces), item["text"].get<std::string>()) << name;
    EXPECT_EQ(EncodeChat(*tokenizer, *pieces), item["ids"].get<Ids>()) << name;
  }
}

// The templates that stand for the formats, where they are at hand.
TEST(ChatGolden, Detection) {
  const std::string folder = testing::GoldenFolder("chat");
  for (const ChatFormat format :
       {ChatFormat::kText01, ChatFormat::kVl01, ChatFormat::kM1, ChatFormat::kM1LlamaCpp}) {
    const auto text = ReadFile(fmt::format("{}/{}.jinja", folder, ChatFormatName(format)));
    if (testing::SharedRoot().empty()) GTEST_SKIP() << "the compact golden has no templates";
    ASSERT_TRUE(text.has_value()) << text.error().message;
    const auto detected = DetectChatFormat(*text);
    ASSERT_TRUE(detected.has_value());
    EXPECT_EQ(*detected, format);
  }
}

}  // namespace
}  // namespace fulmen
