#include "tokenizer/bpe_trainer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <random>
#include <set>

#include "base/file_io.h"
#include "tests/testing/golden.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"

namespace fulmen {
namespace {

using Markers = Tokenizer::Markers;
using Ids = std::vector<int32_t>;

// The specification: every pair is counted anew for every merge.
BpeMerges TrainNaively(const WordCounts& counts, int64_t tokens) {
  std::vector<std::string> names;
  for (int byte = 0; byte < 256; ++byte) names.emplace_back(1, static_cast<char>(byte));
  std::vector<std::pair<std::vector<size_t>, int64_t>> words;
  for (const auto& [bytes, count] : counts) {
    words.push_back({{}, count});
    for (const char byte : bytes) words.back().first.push_back(static_cast<uint8_t>(byte));
  }
  BpeMerges merges;
  while (names.size() < static_cast<size_t>(256 + tokens)) {
    std::map<std::pair<size_t, size_t>, int64_t> pairs;
    for (const auto& [word, count] : words) {
      for (size_t i = 1; i < word.size(); ++i) pairs[{word[i - 1], word[i]}] += count;
    }
    std::pair<size_t, size_t> best;
    int64_t best_count = 1;
    for (const auto& [pair, count] : pairs) {  // in the order of ids
      if (count > best_count) {
        best = pair;
        best_count = count;
      }
    }
    if (best_count == 1) break;
    merges.emplace_back(names[best.first], names[best.second]);
    const std::string name = names[best.first] + names[best.second];
    const auto known = std::find(names.begin(), names.end(), name);
    const auto merged = static_cast<size_t>(known - names.begin());
    if (known == names.end()) names.push_back(name);
    for (auto& [word, count] : words) {
      std::vector<size_t> next;
      for (size_t i = 0; i < word.size(); ++i) {
        if (i + 1 < word.size() && word[i] == best.first && word[i + 1] == best.second) {
          next.push_back(merged);
          ++i;
        } else {
          next.push_back(word[i]);
        }
      }
      word = std::move(next);
    }
  }
  return merges;
}

Tokenizer Load(const BpeMerges& merges) {
  auto tokenizer = Tokenizer::Parse(TokenizerJson(merges, FamilySpecialTokens()), "trained");
  EXPECT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  return *std::move(tokenizer);
}

TEST(BpeTrainer, CountsPieces) {
  WordCounts counts;
  CountWords("It is, it is.\nIt is", counts);
  EXPECT_EQ(counts, (WordCounts{{"It", 2}, {" is", 3}, {",", 1}, {" it", 1}, {".\n", 1}}));
  counts.clear();
  CountWords(std::string(kLongestWord, 'a') + " " + std::string(kLongestWord, 'b'), counts);
  EXPECT_EQ(counts, (WordCounts{{std::string(kLongestWord, 'a'), 1}}));
}

// The words of the paper's example.
TEST(BpeTrainer, MergesTheMostFrequentPair) {
  const WordCounts counts = {{"low", 5}, {"lowest", 2}, {"newer", 6}, {"wider", 3}};
  const auto merges = TrainBpe(counts, 256 + 5, 0);
  ASSERT_TRUE(merges.has_value());
  // "er" 9; of "we" only 2 are left then, and "lo" comes before "ow", 7 each; of "ne", "ew" and
  // "wer", 6 each, the e of "ew" is the smallest byte; "n" is older than "ew".
  EXPECT_EQ(*merges, (BpeMerges{{"e", "r"}, {"l", "o"}, {"lo", "w"}, {"e", "w"}, {"n", "ew"}}));
}

TEST(BpeTrainer, LikeTheNaiveOne) {
  std::minstd_rand random(1);
  for (int trial = 0; trial < 60; ++trial) {
    WordCounts counts;
    const auto letters = 1 + random() % 5;  // few letters: many runs, ties and repeated strings
    for (int word = 0; word < 12; ++word) {
      std::string text(1 + random() % 14, 'a');
      for (char& c : text) c = static_cast<char>('a' + random() % letters);
      counts[text] = static_cast<int64_t>(1 + random() % 4);
    }
    const BpeMerges expected = TrainNaively(counts, 40);
    std::set<std::string> strings;
    for (const auto& [left, right] : expected) strings.insert(left + right);
    const auto tokens = static_cast<int64_t>(strings.size());
    const auto merges = TrainBpe(counts, 256 + tokens, 0);
    ASSERT_TRUE(merges.has_value()) << merges.error().message;
    // Merges that make known strings may follow the last new one.
    ASSERT_LE(merges->size(), expected.size());
    for (size_t i = 0; i < merges->size(); ++i) ASSERT_EQ((*merges)[i], expected[i]) << trial;
    if (tokens < 40) {
      ASSERT_FALSE(TrainBpe(counts, 256 + tokens + 1, 0).has_value());
    }
  }
}

TEST(BpeTrainer, TooShortATextIsSaid) {
  const auto merges = TrainBpe({{"abab", 1}}, 265, 6);
  ASSERT_FALSE(merges.has_value());
  EXPECT_EQ(merges.error().message,
            "the text is too short for a vocabulary of 265: it gives one of 263 at most, as no "
            "further pair of tokens occurs twice");
}

TEST(BpeTrainer, CanBeStopped) {
  int asked = 0;
  const auto merges = TrainBpe({{"ababab", 9}}, 258, 0, [&] { return ++asked < 2; });
  ASSERT_FALSE(merges.has_value());
  EXPECT_EQ(merges.error().code, ErrorCode::kCancelled);
}

// Merging by rank, which is what the file means to any reader of it.
TEST(BpeTrainer, TheTokenizerDoesWhatTheMergesSay) {
  const std::string text =
      "the cat and the dog and the bat; that cat sat. The end: aaaa aaa \u00E9t\u00E9 "
      "\u00E9t\u00E9";
  WordCounts counts;
  CountWords(text, counts);
  const auto merges = TrainBpe(counts, 256 + 12, 0);
  ASSERT_TRUE(merges.has_value()) << merges.error().message;
  const Tokenizer tokenizer = Load(*merges);
  EXPECT_EQ(tokenizer.vocab_size(), 256 + 12 + 6);
  for (const auto& [word, count] : counts) {
    std::vector<std::string> parts;
    for (const char byte : word) parts.emplace_back(1, byte);
    for (const auto& [left, right] : *merges) {
      for (size_t i = 0; i + 1 < parts.size(); ++i) {
        if (parts[i] != left || parts[i + 1] != right) continue;
        parts[i] += right;
        parts.erase(parts.begin() + static_cast<ptrdiff_t>(i) + 1);
      }
    }
    Ids expected;
    for (const std::string& part : parts) expected.push_back(*tokenizer.TokenId(part));
    EXPECT_EQ(tokenizer.Encode(word, Markers::kPlain), expected) << word;
  }
}

TEST(BpeTrainer, RealTextRoundTrips) {
  if (testing::SharedRoot().empty()) GTEST_SKIP() << "data/text is absent";
  WordCounts counts;
  std::vector<std::string> texts;
  for (const auto& file :
       std::filesystem::directory_iterator(testing::SharedRoot() + "/data/text")) {
    texts.push_back(testing::ReadFileOrDie(file.path().string()));
    CountWords(texts.back(), counts);
  }
  const auto merges = TrainBpe(counts, 4096, 6);
  ASSERT_TRUE(merges.has_value());
  const Tokenizer tokenizer = Load(*merges);
  ASSERT_EQ(tokenizer.vocab_size(), 4096);
  for (const std::string& text : texts) {
    const Ids ids = tokenizer.Encode(text, Markers::kPlain);
    EXPECT_TRUE(*tokenizer.Decode(ids) == text);
    EXPECT_LT(ids.size() * 2, text.size());
  }
}

TEST(BpeTrainer, TheFolderHasTheChatTemplateAskedForOrNone) {
  const testing::TemporaryFolder folder;
  ASSERT_TRUE(WriteFileAtomically(folder / "tokenizer.json",
                                  TokenizerJson({{"a", "b"}}, FamilySpecialTokens())));
  for (const std::optional<ChatFormat> chat :
       {std::optional<ChatFormat>(), std::optional(ChatFormat::kText01),
        std::optional(ChatFormat::kVl01), std::optional(ChatFormat::kM1),
        std::optional(ChatFormat::kM1LlamaCpp)}) {
    ASSERT_TRUE(WriteFileAtomically(folder / "tokenizer_config.json", TokenizerConfigJson(chat)));
    const auto tokenizer = Tokenizer::Load(folder.path());
    ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
    EXPECT_EQ(*DetectChatFormat(tokenizer->chat_template()), chat);
    EXPECT_EQ(tokenizer->eos_id(), tokenizer->TokenId("<end_of_sentence>"));
    EXPECT_TRUE(tokenizer->IsSpecial(*tokenizer->eos_id()));
    EXPECT_EQ(tokenizer->Encode("ab<image>c", Markers::kParse), (Ids{256, 262, 'c'}));
  }
}

}  // namespace
}  // namespace fulmen
