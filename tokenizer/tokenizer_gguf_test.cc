// Tokenizers of GGUF models.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "formats/model_files.h"
#include "formats/testing/gguf_builder.h"
#include "tests/testing/golden.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {
namespace {

using Ids = std::vector<int32_t>;
using Markers = Tokenizer::Markers;

// The bytes in order, "ab", and tokens of every other type; the parts of it may be changed.
struct Parts {
  std::string model = "gpt2";
  std::string split = "minimax-m2";
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<std::string> merges = {"a b"};
  std::map<std::string, uint32_t> numbers = {{"bos_token_id", 258}, {"eos_token_id", 256}};
  bool add_bos = false;

  Parts() {
    for (int byte = 0; byte < 256; ++byte) {
      tokens.push_back(SpellingFromBytes(std::string(1, static_cast<char>(byte))));
    }
    for (const char* token : {"ab", "<unk>", "<control>", "<user>", "[PAD260]"}) {
      tokens.emplace_back(token);
    }
    types.assign(257, 1);
    for (const int32_t type : {2, 3, 4, 5}) types.push_back(type);
  }
};

Result<Tokenizer> Load(const std::function<void(Parts&)>& edit) {
  Parts parts;
  edit(parts);
  testing::GgufBuilder builder;
  builder.Text("tokenizer.ggml.model", parts.model)
      .Text("tokenizer.ggml.pre", parts.split)
      .Texts("tokenizer.ggml.tokens", parts.tokens)
      .Texts("tokenizer.ggml.merges", parts.merges)
      .Text("tokenizer.chat_template", "{{ template }}")
      .Entry("tokenizer.ggml.add_bos_token", GgufType::kBool,
             testing::Bytes(static_cast<uint8_t>(parts.add_bos)));
  if (!parts.types.empty()) builder.Numbers("tokenizer.ggml.token_type", parts.types);
  for (const auto& [key, number] : parts.numbers) builder.Number("tokenizer.ggml." + key, number);
  const testing::TemporaryFolder folder;
  EXPECT_TRUE(WriteFileAtomically(folder / "m.gguf", builder.File()));
  return Tokenizer::Load(folder / "m.gguf");
}

std::string ProblemWith(const std::function<void(Parts&)>& edit) {
  const Result<Tokenizer> tokenizer = Load(edit);
  if (tokenizer) return "";
  const std::string& message = tokenizer.error().message;
  const size_t at = message.find("m.gguf: ");
  EXPECT_NE(at, std::string::npos) << message;
  return message.substr(at + 8);
}

TEST(TokenizerGguf, ReadsEveryTypeOfToken) {
  const Tokenizer tokenizer = Load([](Parts&) {}).value();
  EXPECT_EQ(tokenizer.Encode("abc<control><user><unk>[PAD260]", Markers::kParse).size(), 13U);
  EXPECT_EQ(tokenizer.Encode("abc<user>ab<control>", Markers::kParse),
            (Ids{256, 'c', 259, 256, 258}));
  EXPECT_EQ(tokenizer.Encode("ab<", Markers::kPlain), (Ids{256, '<'}));
  EXPECT_EQ(tokenizer.Decode(Ids{256, 258, 259, 257}).value(), "ab<control><user><unk>");
  EXPECT_EQ(tokenizer.vocab_size(), 260);
  EXPECT_FALSE(tokenizer.TokenBytes(260));
  EXPECT_TRUE(tokenizer.IsSpecial(257));
  EXPECT_TRUE(tokenizer.IsSpecial(258));
  EXPECT_FALSE(tokenizer.IsSpecial(259));
  EXPECT_TRUE(tokenizer.IsSpecial(256));  // it ends texts
  EXPECT_EQ(tokenizer.bos_id(), 258);
  EXPECT_EQ(tokenizer.eos_id(), 256);
  EXPECT_EQ(tokenizer.chat_template(), "{{ template }}");
}

TEST(TokenizerGguf, TypesMayBeAbsent) {
  const Tokenizer tokenizer = Load([](Parts& parts) { parts.types.clear(); }).value();
  EXPECT_EQ(tokenizer.vocab_size(), 261);
  EXPECT_EQ(tokenizer.TokenBytes(258), "<control>");
}

TEST(TokenizerGguf, KnowsSplits) {
  const auto encode = [](const char* split) {
    return Load([&](Parts& parts) { parts.split = split; })
        .value()
        .Encode("12a\n/", Markers::kPlain);
  };
  EXPECT_EQ(encode("minimax-m2"), encode("gpt-4o"));
  EXPECT_EQ(encode("minimax-m2"), encode("gpt-2"));  // pieces differ, but there is one merge only
  EXPECT_EQ(ProblemWith([](Parts& parts) { parts.split = "qwen2"; }),
            "tokenizer.ggml.pre is \"qwen2\", minimax-m2, gpt-4o and gpt-2 are supported");
}

TEST(TokenizerGguf, RefusesOthers) {
  EXPECT_EQ(ProblemWith([](Parts& parts) { parts.model = "llama"; }),
            "tokenizer.ggml.model is \"llama\", only \"gpt2\", byte-level BPE, is supported");
  EXPECT_EQ(ProblemWith([](Parts& parts) { parts.add_bos = true; }),
            "tokenizer.ggml.add_bos_token should be false, found true");
  EXPECT_EQ(ProblemWith([](Parts& parts) { parts.types.pop_back(); }),
            "tokenizer.ggml.token_type should be an array of 261 numbers, found 260 values");
  EXPECT_EQ(ProblemWith([](Parts& parts) { parts.types[7] = 6; }),
            "tokenizer.ggml.token_type[7] should be from 1 to 5, found 6; byte-level vocabularies "
            "have no other tokens");
  EXPECT_EQ(ProblemWith([](Parts& parts) { parts.merges = {"a b c"}; }),
            "merge 0 should be two tokens with a space between: 'a b c'");
  EXPECT_EQ(ProblemWith([](Parts& parts) { parts.merges = {"a c"}; }),
            "merge 0 uses 'ac', which is not in the vocabulary");
  for (const uint32_t id : {260U, 261U, UINT32_MAX}) {
    EXPECT_EQ(ProblemWith([&](Parts& parts) { parts.numbers["eos_token_id"] = id; }),
              fmt::format("tokenizer.ggml.eos_token_id should be a token of the vocabulary, found "
                          "{}",
                          id));
  }
  EXPECT_NE(ProblemWith([](Parts& parts) { parts.tokens[5] = "<5>"; }).find("byte 0x05 has none"),
            std::string::npos);
}

TEST(TokenizerGguf, SaysWhenThereIsNone) {
  const testing::TemporaryFolder folder;
  ASSERT_TRUE(WriteFileAtomically(folder / "m.gguf", testing::GgufBuilder().File()));
  EXPECT_EQ(Tokenizer::Load(folder / "m.gguf").error().message,
            (folder / "m.gguf") + ": the file holds no tokenizer");
  ASSERT_TRUE(WriteFileAtomically(folder / "m.gguf", testing::GgufBuilder()
                                                         .Text("tokenizer.ggml.model", "gpt2")
                                                         .Text("tokenizer.ggml.pre", "gpt-2")
                                                         .Number("tokenizer.ggml.tokens", 3U)
                                                         .File()));
  EXPECT_EQ(Tokenizer::Load(folder / "m.gguf").error().message,
            (folder / "m.gguf") +
                ": tokenizer.ggml.tokens should be an array of strings, found another value");
}

// The converter's file against the folder that it was made from.
TEST(TokenizerGguf, EncodesAsTheFolderItCameFrom) {
  const std::string source = testing::GoldenFolder("gguf/source");
  const std::string wide = testing::GoldenFolder("gguf/wide");
  if (source.empty() || wide.empty()) GTEST_SKIP() << "no golden gguf";
  const Tokenizer expected = Tokenizer::Load(source).value();
  const Tokenizer actual = Tokenizer::Load(wide + "/wide-q4_k_m.gguf").value();
  EXPECT_EQ(actual.vocab_size(), expected.vocab_size());
  for (int32_t id = 0; id < expected.vocab_size(); ++id) {
    EXPECT_EQ(actual.TokenBytes(id), expected.TokenBytes(id)) << id;
    EXPECT_EQ(actual.IsSpecial(id), expected.IsSpecial(id)) << id;
  }
  EXPECT_EQ(actual.bos_id(), expected.bos_id());
  EXPECT_EQ(actual.eos_id(), expected.eos_id());
  EXPECT_NE(actual.chat_template().find("<begin_of_document>"), std::string::npos);
  for (const char* file : {"README.md", "tokenizer/tokenizer.cc", "tokenizer/published_split.cc",
                           "tokenizer/tokenizer_test.cc", "tokenizer/chat_template.cc"}) {
    const std::string text = testing::ReadFileOrDie(testing::SourcePath(file));
    for (const Markers markers : {Markers::kParse, Markers::kPlain}) {
      EXPECT_EQ(actual.Encode(text, markers), expected.Encode(text, markers)) << file;
    }
  }
}

}  // namespace
}  // namespace fulmen
