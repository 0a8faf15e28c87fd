#include "tokenizer/tokenizer_tables.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "formats/model_files.h"
#include "tests/testing/golden.h"
#include "tokenizer/published_split.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {
namespace {

// A tokenizer.json of what the tables say.
Json TokenizerJson(const TokenizerTables& tables) {
  Json json;
  json["model"]["type"] = "BPE";
  json["model"]["merges"] = tables.merges;
  for (size_t id = 0; id < tables.tokens.size(); ++id) {
    if (tables.kinds[id] == TokenKind::kUnused) continue;
    if (tables.kinds[id] == TokenKind::kNormal) {
      json["model"]["vocab"][tables.tokens[id]] = id;
    } else {
      json["added_tokens"].push_back({{"id", id},
                                      {"content", tables.tokens[id]},
                                      {"special", tables.kinds[id] == TokenKind::kControl}});
    }
  }
  json["pre_tokenizer"] = {{"type", "Sequence"},
                           {"pretokenizers",
                            {{{"type", "Split"},
                              {"pattern", {{"Regex", kPublishedSplitPattern}}},
                              {"behavior", "Isolated"},
                              {"invert", false}},
                             {{"type", "ByteLevel"},
                              {"add_prefix_space", false},
                              {"trim_offsets", true},
                              {"use_regex", false}}}}};
  json["decoder"]["type"] = "ByteLevel";
  return json;
}

TEST(TokenizerTables, MakeTheSameTokenizerAgain) {
  const ModelFiles files = ModelFiles::Open(testing::SourcePath("models/fulmen-nano")).value();
  const Tokenizer tokenizer = Tokenizer::Load(files).value();
  const int64_t rows = tokenizer.vocab_size() + 3;
  const TokenizerTables tables = ReadTokenizerTables(files.ReadTokenizer().value(), rows).value();
  ASSERT_EQ(static_cast<int64_t>(tables.tokens.size()), rows);
  EXPECT_EQ(tables.tokens.back(), fmt::format("[PAD{}]", rows - 1));
  EXPECT_EQ(tables.kinds.back(), TokenKind::kUnused);
  EXPECT_TRUE(tables.published_split);
  EXPECT_EQ(tables.eos_id, tokenizer.eos_id());
  EXPECT_EQ(tables.chat_template, tokenizer.chat_template());

  const Tokenizer again = Tokenizer::Parse(TokenizerJson(tables).dump(), "tables").value();
  const std::string text =
      "Fulmen — a thunderbolt: 12345 naïve words,\n\n  and <end_of_sentence> of it.\xff \t It's.";
  for (const auto markers : {Tokenizer::Markers::kParse, Tokenizer::Markers::kPlain}) {
    EXPECT_EQ(again.Encode(text, markers), tokenizer.Encode(text, markers));
  }
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    EXPECT_EQ(again.TokenBytes(id), tokenizer.TokenBytes(id)) << id;
    EXPECT_EQ(again.IsSpecial(id), tokenizer.IsSpecial(id)) << id;
  }
}

}  // namespace
}  // namespace fulmen
