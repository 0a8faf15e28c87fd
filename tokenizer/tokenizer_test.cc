#include "tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <random>

#include "base/json.h"
#include "base/utf8.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/testing/minimax.h"

namespace fulmen {
namespace {

using Markers = Tokenizer::Markers;
using Ids = std::vector<int32_t>;

// A tokenizer.json: the bytes are ids 0 to 255 in order, "ab" is 256.
Json SmallJson() {
  Json vocab;
  for (int byte = 0; byte < 256; ++byte) {
    vocab[SpellingFromBytes(std::string(1, static_cast<char>(byte)))] = byte;
  }
  vocab["ab"] = 256;
  return {
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array({"a b"})}}},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}},
      {"decoder", {{"type", "ByteLevel"}}},
      {"added_tokens", Json::array()}};
}

Json AddedJson(const std::string& content, int id, bool normalized = false) {
  return {{"id", id}, {"content", content}, {"special", true}, {"normalized", normalized}};
}

Tokenizer MustParse(const Json& json) {
  auto tokenizer = Tokenizer::Parse(json.dump(), "test");
  EXPECT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  return *std::move(tokenizer);
}

// The pieces that a pre-tokenizer makes of the text, seen through ids of bytes: "ab" merges only
// within a piece.
Ids EncodeWith(const Json& pre_tokenizer, const std::string& text) {
  Json json = SmallJson();
  json["pre_tokenizer"] = pre_tokenizer;
  return MustParse(json).Encode(text, Markers::kParse);
}

std::string ParseError(const Json& json) {
  const auto tokenizer = Tokenizer::Parse(json.dump(), "test");
  return tokenizer ? "no error" : tokenizer.error().message;
}

TEST(Tokenizer, MarkersAreLeftmostThenLongest) {
  Json json = SmallJson();
  json["added_tokens"] = {AddedJson("<x>", 300), AddedJson("<x>y", 301), AddedJson("y<", 302),
                          AddedJson("qq", 303, true), AddedJson("<qq>", 304)};
  const Tokenizer tokenizer = MustParse(json);
  EXPECT_EQ(tokenizer.Encode("<x>y<x>", Markers::kParse), (Ids{301, 300}));
  EXPECT_EQ(tokenizer.Encode("y<x>", Markers::kParse), (Ids{302, 'x', '>'}));
  EXPECT_EQ(tokenizer.Encode("<qq>qq<", Markers::kParse), (Ids{304, 303, '<'}));
  EXPECT_EQ(tokenizer.Encode("<x>", Markers::kPlain), (Ids{'<', 'x', '>'}));
  EXPECT_EQ(tokenizer.Encode("<<x<x", Markers::kParse), (Ids{'<', '<', 'x', '<', 'x'}));
  EXPECT_EQ(tokenizer.vocab_size(), 305);
  EXPECT_EQ(tokenizer.TokenId("<x>"), 300);
  EXPECT_EQ(tokenizer.TokenId("ab"), 256);
  EXPECT_EQ(tokenizer.TokenId("abc"), std::nullopt);
  EXPECT_TRUE(tokenizer.IsSpecial(300));
  EXPECT_FALSE(tokenizer.IsSpecial(256));
  EXPECT_FALSE(tokenizer.IsSpecial(-1));
  EXPECT_EQ(tokenizer.TokenBytes(299), std::nullopt);
  EXPECT_EQ(tokenizer.Decode(Ids{'h', 300}).value_or(""), "h<x>");
  EXPECT_EQ(tokenizer.Decode(Ids{1, 299}).error().message,
            "token id 299 at position 1 is not in the vocabulary of 305 tokens");
}

TEST(Tokenizer, PreTokenizers) {
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const auto sequence = [&](const Json& split) -> Json {
    return {{"type", "Sequence"}, {"pretokenizers", Json::array({split, byte_level})}};
  };
  const auto split = [](const char* kind, const char* pattern) -> Json {
    return {{"type", "Split"}, {"pattern", {{kind, pattern}}}, {"behavior", "Isolated"}};
  };
  EXPECT_EQ(EncodeWith(byte_level, "abab"), (Ids{256, 256}));
  EXPECT_EQ(EncodeWith(sequence(split("String", "ba")), "abab"), (Ids{'a', 'b', 'a', 'b'}));
  EXPECT_EQ(EncodeWith(sequence(split("Regex", "a+")), "abaab"), (Ids{'a', 'b', 'a', 'a', 'b'}));
  EXPECT_EQ(EncodeWith(sequence(split("Regex", "x")), "abxab"), (Ids{256, 'x', 256}));
  const Json prefix = {{"type", "ByteLevel"}, {"add_prefix_space", true}};
  EXPECT_EQ(EncodeWith(prefix, "ab"), (Ids{' ', 256}));
  EXPECT_EQ(EncodeWith(prefix, " ab"), (Ids{' ', 256}));
  EXPECT_EQ(EncodeWith(prefix, ""), Ids());
}

TEST(Tokenizer, ATextThatContinuesGetsNoPrefixSpace) {
  Json json = SmallJson();
  json["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", true}};
  json["added_tokens"] = Json::array({AddedJson("<x>", 300)});
  const Tokenizer tokenizer = MustParse(json);
  EXPECT_EQ(tokenizer.Encode("ab<x>ab", Markers::kParse), (Ids{' ', 256, 300, ' ', 256}));
  EXPECT_EQ(tokenizer.Encode("ab<x>ab", Markers::kParse, true), (Ids{256, 300, ' ', 256}));
  EXPECT_EQ(tokenizer.Encode("<x>ab", Markers::kParse, true), (Ids{300, ' ', 256}));
}

// Trainers put special tokens in the vocabulary, too, spelled as they are; é is also the letter of
// the byte 0xE9.
TEST(Tokenizer, AddedTokensAreLiteral) {
  for (const std::string content : {"<r\u00e9ponse>", "<reponse>", "<\u7b54>", "\u00e9\u00e9"}) {
    SCOPED_TRACE(content);
    Json json = SmallJson();
    json["model"]["vocab"][content] = 257;
    json["model"]["ignore_merges"] = true;
    json["added_tokens"] = Json::array({AddedJson(content, 257)});
    const Tokenizer tokenizer = MustParse(json);
    EXPECT_EQ(tokenizer.Encode("a" + content + "b", Markers::kParse), (Ids{'a', 257, 'b'}));
    EXPECT_EQ(tokenizer.Decode(Ids{257}).value_or(""), content);
    EXPECT_EQ(tokenizer.TokenId(content), 257);
    // The bytes its spelling would stand for are no token.
    const std::string bytes = BytesFromSpelling(content).value_or("");
    if (bytes != content) {
      EXPECT_NE(tokenizer.Encode(bytes, Markers::kPlain), Ids{257});
    }
    EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(bytes, Markers::kPlain)).value_or(""), bytes);
  }
}

TEST(Tokenizer, AnAddedTokenMayNotTakeTheIdOfBytesOrMerges) {
  Json json = SmallJson();
  json["added_tokens"] = Json::array({AddedJson("\u00e9", 0xE9)});
  EXPECT_EQ(ParseError(json), "test: token id 233 stands for two tokens, '\xe9' and '\u00e9'");
  json = SmallJson();
  json["model"]["vocab"]["\u00e9\u00e9"] = 257;
  json["model"]["merges"].push_back("\u00e9 \u00e9");
  json["added_tokens"] = Json::array({AddedJson("\u00e9\u00e9", 257)});
  EXPECT_NE(ParseError(json).find("token id 257 stands for two tokens"), std::string::npos);
}

TEST(Tokenizer, IdsAreWholeNumbersInRange) {
  const auto with = [](const Json& id) {
    Json json = SmallJson();
    json["added_tokens"] = Json::array({AddedJson("<x>", 300)});
    json["added_tokens"][0]["id"] = id;
    return ParseError(json);
  };
  const std::string expected =
      "test: the id of token '<x>' should be a whole number from 0 to 4194303, found ";
  EXPECT_EQ(with(300.5), expected + "300.5");
  EXPECT_EQ(with(300.0), expected + "300.0");
  EXPECT_EQ(with(-1), expected + "-1");
  EXPECT_EQ(with(18446744073709551615U), expected + "18446744073709551615");
  EXPECT_EQ(with("300"), expected + "\"300\"");
  EXPECT_EQ(with(nullptr), expected + "null");
  std::string twice = SmallJson().dump();
  twice.insert(twice.find("\"ab\":256"), "\"ab\":255,");
  EXPECT_EQ(Tokenizer::Parse(twice, "test").error().message,
            "test: JSON with the key \"ab\" twice in one object");
}

TEST(Tokenizer, Nfc) {
  Json json = SmallJson();
  json["normalizer"] = {{"type", "NFC"}};
  EXPECT_EQ(MustParse(json).Encode("e\u0301", Markers::kParse), (Ids{0xC3, 0xA9}));
  json["added_tokens"] = Json::array({AddedJson("<x>", 300, true)});
  EXPECT_NE(ParseError(json).find("`normalized`"), std::string::npos);
}

TEST(Tokenizer, RefusesByName) {
  const auto with = [](const char* pointer, const Json& value) {
    Json json = SmallJson();
    json[Json::json_pointer(pointer)] = value;
    return ParseError(json);
  };
  EXPECT_EQ(with("/model/type", "Unigram"), "test: model type Unigram is not supported, only BPE");
  EXPECT_EQ(with("/model/dropout", 0.1), "test: BPE 'dropout' is not supported");
  EXPECT_EQ(with("/model/end_of_word_suffix", "</w>"),
            "test: BPE 'end_of_word_suffix' is not supported");
  EXPECT_EQ(with("/normalizer", {{"type", "Lowercase"}}),
            "test: normalizer Lowercase is not supported, only NFC");
  EXPECT_EQ(with("/pre_tokenizer", {{"type", "Metaspace"}}),
            "test: pre-tokenizer Metaspace is not supported");
  EXPECT_EQ(with("/decoder", {{"type", "WordPiece"}}),
            "test: decoder WordPiece is not supported, only ByteLevel");
  EXPECT_EQ(with("/post_processor", {{"type", "BertProcessing"}}),
            "test: post-processor BertProcessing that adds tokens is not supported");
  EXPECT_EQ(
      with("/added_tokens", Json::array({{{"id", 300}, {"content", "<x>"}, {"lstrip", true}}})),
      "test: added token '<x>': 'lstrip' is not supported");
  EXPECT_EQ(with("/added_tokens", Json::array({AddedJson("ab", 300)})),
            "test: added token 'ab' has id 300, but the vocabulary gives it 256");
  EXPECT_EQ(with("/added_tokens", Json::array({AddedJson("<x>", 256)})),
            "test: token id 256 stands for two tokens, 'ab' and '<x>'");
  EXPECT_EQ(
      with("/model/vocab/zz", 2000000000),
      "test: the id of token 'zz' should be a whole number from 0 to 4194303, found 2000000000");
  EXPECT_EQ(with("/model/vocab/zz", "x"),
            "test: the id of token 'zz' should be a whole number from 0 to 4194303, found \"x\"");
  EXPECT_EQ(with("/model/merges", Json::array({"a  b"})),
            "test: merge 0 should be two tokens with a space between: 'a  b'");
  EXPECT_EQ(with("/model/merges", Json::array({"b a"})),
            "test: merge 0 uses 'ba', which is not in the vocabulary");
  Json missing = SmallJson();
  missing["model"]["vocab"].erase("a");
  EXPECT_NE(ParseError(missing).find("byte 0x61 has none"), std::string::npos);
}

// A tokenizer.json cut off anywhere is one error, never a crash.
TEST(Tokenizer, TornJson) {
  const std::string text = SmallJson().dump();
  for (size_t size = 1; size < text.size(); ++size) {
    const auto tokenizer = Tokenizer::Parse(text.substr(0, size), "test");
    ASSERT_FALSE(tokenizer.has_value());
    ASSERT_EQ(tokenizer.error().message.substr(0, 24), "test: not valid JSON at ");
  }
}

TEST(Tokenizer, RoundTripsAnyBytes) {
  const std::string folder = testing::GoldenFolder("tokenizer/small");
  if (folder.empty() || MinimaxTokenizer() == nullptr) GTEST_SKIP() << "goldens are absent";
  const auto small = Tokenizer::Load(folder);
  ASSERT_TRUE(small.has_value());
  std::mt19937 random(11);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    const auto length = random() % 64;
    for (size_t i = 0; i < length; ++i) {
      if (random() % 2 == 0) {
        text.push_back(static_cast<char>(random()));
      } else {
        AppendUtf8(static_cast<uint32_t>(random() % 0x3000), text);
      }
    }
    for (const Tokenizer* tokenizer : {&*small, MinimaxTokenizer()}) {
      const auto decoded = tokenizer->Decode(tokenizer->Encode(text, Markers::kPlain));
      ASSERT_TRUE(decoded.has_value());
      ASSERT_EQ(*decoded, text);
    }
  }
}

class TokenizerFolder : public ::testing::Test {
 protected:
  void Write(const std::string& name, const Json& json) { WriteText(name, json.dump()); }
  void WriteText(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(folder_ / name, text));
  }
  std::string LoadError() const {
    const auto tokenizer = Tokenizer::Load(folder_.path());
    if (tokenizer) return "no error";
    const std::string& message = tokenizer.error().message;
    const size_t prefix = message.find(folder_.path());
    return prefix == 0 ? message.substr(folder_.path().size()) : message;
  }

  testing::TemporaryFolder folder_;
};

TEST_F(TokenizerFolder, ReadsTheFilesBeside) {
  Json json = SmallJson();
  json["added_tokens"] = Json::array({AddedJson("<b>", 300)});
  Write("tokenizer.json", json);
  Write("tokenizer_config.json",
        {{"bos_token", {{"content", "<b>"}}},
         {"eos_token", "<e>"},
         {"added_tokens_decoder", {{"301", {{"content", "<e>"}, {"special", true}}}}},
         {"chat_template",
          {{{"name", "tool_use"}, {"template", "T"}}, {{"name", "default"}, {"template", "D"}}}}});
  const auto tokenizer = Tokenizer::Load(folder_.path());
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->bos_id(), 300);
  EXPECT_EQ(tokenizer->eos_id(), 301);
  EXPECT_EQ(tokenizer->chat_template(), "D");
  EXPECT_EQ(tokenizer->Encode("<b>ab<e>", Markers::kParse), (Ids{300, 256, 301}));
  WriteText("chat_template.jinja", "J");
  EXPECT_EQ(Tokenizer::Load(folder_.path())->chat_template(), "J");
}

TEST_F(TokenizerFolder, VocabAndMerges) {
  Write("vocab.json", SmallJson()["model"]["vocab"]);
  WriteText("merges.txt", "#version: 0.2\r\na b\r\n\n");
  auto tokenizer = Tokenizer::Load(folder_.path());
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->vocab_size(), 257);  // not the published vocabulary: no special tokens
  EXPECT_EQ(tokenizer->Encode("ab ab", Markers::kParse), (Ids{256, ' ', 256}));
  EXPECT_EQ(tokenizer->eos_id(), std::nullopt);
  Write("added_tokens.json", {{"<e>", 257}, {"<t>", 258}});
  Write("tokenizer_config.json", {{"eos_token", "<e>"}, {"pad_token", nullptr}});
  tokenizer = Tokenizer::Load(folder_.path());
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->Encode("ab<t><e>", Markers::kParse), (Ids{256, 258, 257}));
  EXPECT_EQ(tokenizer->eos_id(), 257);
  EXPECT_TRUE(tokenizer->IsSpecial(257));
  EXPECT_FALSE(tokenizer->IsSpecial(258));
}

TEST_F(TokenizerFolder, ASpecialTokenOfTheVocabularyIsLiteral) {
  Json vocab = SmallJson()["model"]["vocab"];
  vocab["<fin\u00e9>"] = 257;
  Write("vocab.json", vocab);
  WriteText("merges.txt", "a b\n");
  Write("tokenizer_config.json", {{"eos_token", "<fin\u00e9>"}});
  const auto tokenizer = Tokenizer::Load(folder_.path());
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->eos_id(), 257);
  EXPECT_EQ(tokenizer->Encode("ab<fin\u00e9>", Markers::kParse), (Ids{256, 257}));
  EXPECT_EQ(tokenizer->Decode(Ids{257}).value_or(""), "<fin\u00e9>");
}

TEST_F(TokenizerFolder, Errors) {
  EXPECT_EQ(LoadError(), ": expected tokenizer.json, or vocab.json and merges.txt, found neither");
  Write("tokenizer.json", SmallJson());
  WriteText("tokenizer_config.json", "[");
  EXPECT_EQ(LoadError(), "/tokenizer_config.json: not valid JSON at byte 2");
  Write("tokenizer_config.json", {{"eos_token", "<nope>"}});
  EXPECT_EQ(LoadError(),
            "/tokenizer_config.json: 'eos_token' is '<nope>', which is not in the vocabulary");
  Write("tokenizer_config.json", {{"added_tokens_decoder", {{"x", {{"content", "<e>"}}}}}});
  EXPECT_EQ(LoadError(), "/tokenizer_config.json: 'added_tokens_decoder' has 'x' for a token id");
  Write("tokenizer_config.json", {{"chat_template", 3}});
  EXPECT_EQ(LoadError(),
            "/tokenizer_config.json: 'chat_template' should be a string or a list, found 3");
}

TEST(Tokenizer, LoadNamesAFolderThatIsNotThere) {
  EXPECT_EQ(
      Tokenizer::Load("no/such/folder").error().message,
      "no/such/folder: expected a model folder (config.json, safetensors and tokenizer files) "
      "or a .gguf file, found nothing");
}

}  // namespace
}  // namespace fulmen
