#include "tokenizer/bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <random>

#include "tokenizer/testing/minimax.h"

namespace fulmen {
namespace {

using Ids = std::vector<int32_t>;
using Merges = std::vector<std::pair<std::string, std::string>>;

// The definition, on strings.
Ids NaiveEncode(const Vocabulary& vocabulary, const Merges& merges, std::string_view piece) {
  std::map<std::pair<std::string, std::string>, size_t> ranks;
  for (size_t i = 0; i < merges.size(); ++i) ranks[merges[i]] = i;
  std::vector<std::string> symbols;
  for (const char c : piece) symbols.emplace_back(1, c);
  for (;;) {
    size_t best = merges.size();
    size_t at = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = ranks.find({symbols[i], symbols[i + 1]});
      if (found == ranks.end() || found->second >= best) continue;
      best = found->second;
      at = i;
    }
    if (best == merges.size()) break;
    symbols[at] += symbols[at + 1];
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
  Ids ids;
  for (const std::string& symbol : symbols) ids.push_back(vocabulary.Find(symbol).value_or(-1));
  return ids;
}

Vocabulary Bytes() {
  Vocabulary vocabulary;
  for (int byte = 0; byte < 256; ++byte) {
    EXPECT_TRUE(vocabulary.Add(std::string(1, static_cast<char>(byte)), byte, "test"));
  }
  return vocabulary;
}

TEST(Bpe, LikeTheDefinition) {
  std::mt19937 random(1);
  for (int round = 0; round < 60; ++round) {
    // Random merges of what is there; some twice, some whose product another pair makes as well.
    Vocabulary vocabulary = Bytes();
    std::vector<std::string> tokens = {"a", "b", "c", " "};
    Merges merges;
    for (int i = 0; i < 40; ++i) {
      merges.emplace_back(tokens[random() % tokens.size()], tokens[random() % tokens.size()]);
      const std::string joined = merges.back().first + merges.back().second;
      if (vocabulary.Find(joined)) continue;
      ASSERT_TRUE(vocabulary.Add(joined, vocabulary.size(), "test"));
      tokens.push_back(joined);
    }
    std::shuffle(merges.begin(), merges.end(), random);  // so not every token is reached
    const auto bpe = Bpe::Build(vocabulary, merges, false, "test");
    ASSERT_TRUE(bpe.has_value()) << bpe.error().message;
    for (int piece_round = 0; piece_round < 100; ++piece_round) {
      const auto length = 1 + random() % (piece_round % 5 == 0 ? 200 : 12);
      std::string piece;
      while (piece.size() < length) piece += "abc "[random() % 4];
      const Ids expected = NaiveEncode(vocabulary, merges, piece);
      Ids ids;
      bpe->Encode(piece, ids);
      ASSERT_EQ(ids, expected) << piece;
      ids.clear();
      bpe->EncodeByMerging(piece, ids);
      ASSERT_EQ(ids, expected) << piece;
    }
  }
}

TEST(Bpe, IgnoreMergesTakesWholePieces) {
  Vocabulary vocabulary = Bytes();
  ASSERT_TRUE(vocabulary.Add("ab", 256, "test"));
  ASSERT_TRUE(vocabulary.Add("xyz", 257, "test"));
  for (const bool ignore : {false, true}) {
    const auto bpe = Bpe::Build(vocabulary, {{"a", "b"}}, ignore, "test");
    ASSERT_TRUE(bpe.has_value());
    Ids ids;
    bpe->Encode("xyz", ids);
    EXPECT_EQ(ids, ignore ? Ids{257} : (Ids{'x', 'y', 'z'}));
  }
}

TEST(Bpe, Errors) {
  EXPECT_EQ(Bpe::Build(Bytes(), {{"a", "b"}}, false, "here").error().message,
            "here: merge 0 uses 'ab', which is not in the vocabulary");
  EXPECT_NE(Bpe::Build(Vocabulary(), {}, false, "here").error().message.find("byte 0x00"),
            std::string::npos);
  Vocabulary vocabulary = Bytes();
  EXPECT_FALSE(vocabulary.Add("ab", 5, "here"));
  EXPECT_FALSE(vocabulary.Add("ab", -1, "here"));
  EXPECT_FALSE(vocabulary.Add("ab", Vocabulary::kMaxSize, "here"));
}

// Of processor time, the better of two runs.
double SecondsToEncode(const std::string& text) {
  std::clock_t best = 0;
  for (int round = 0; round < 2; ++round) {
    const std::clock_t begin = std::clock();
    const Ids ids = MinimaxTokenizer()->Encode(text, Tokenizer::Markers::kPlain);
    const std::clock_t taken = std::clock() - begin;
    EXPECT_EQ(MinimaxTokenizer()->Decode(ids).value_or(""), text);
    best = round == 0 ? taken : std::min(best, taken);
  }
  return static_cast<double>(best) / CLOCKS_PER_SEC;
}

// Four times the text may take little more than four times as long: quadratic would be sixteen.
TEST(Bpe, MillionLetterWordWithoutQuadraticTime) {
  if (MinimaxTokenizer() == nullptr) GTEST_SKIP() << "golden/tokenizer/minimax is absent";
  std::mt19937 random(3);
  std::string letters(1'000'000, ' ');
  for (char& c : letters) c = static_cast<char>('a' + random() % 26);
  const std::string inputs[] = {letters, std::string(1'000'000, ' '), std::string(1'000'000, '='),
                                std::string(999'999, ' ') + "x", std::string(1'000'000, '\n')};
  for (const std::string& text : inputs) {
    const double quarter = SecondsToEncode(text.substr(text.size() * 3 / 4));
    const double whole = SecondsToEncode(text);
    EXPECT_LT(whole, 10 * quarter) << ::testing::PrintToString(text.substr(0, 10));
    RecordProperty(fmt::format("seconds_{:02x}", text[0]), fmt::format("{:.3f}", whole));
  }
}

}  // namespace
}  // namespace fulmen
