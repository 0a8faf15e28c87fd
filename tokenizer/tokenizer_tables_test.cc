#include "tokenizer/tokenizer_tables.h"

#include <gtest/gtest.h>

#include "formats/model_files.h"
#include "tests/testing/golden.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_writer.h"

namespace fulmen {
namespace {

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

  const Tokenizer again =
      Tokenizer::Parse(TokenizerFilesOf(tables, "tables").value().at("tokenizer.json"), "tables")
          .value();
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
