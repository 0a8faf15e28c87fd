#include "tokenizer/bpe_trainer.h"

#include <algorithm>
#include <queue>
#include <unordered_set>

#include "base/check.h"
#include "base/json.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/published_split.h"
#include "tokenizer/tokenizer_writer.h"

namespace fulmen {
namespace {

constexpr int32_t kBytes = 256;

struct Word {
  std::vector<int32_t> tokens;
  int64_t count;
};

using PairKey = uint64_t;  // left id << 32 | right id: smaller ids first
PairKey MakePair(int32_t left, int32_t right) {
  return static_cast<PairKey>(left) << 32 | static_cast<PairKey>(right);
}
int32_t Left(PairKey pair) { return static_cast<int32_t>(pair >> 32); }
int32_t Right(PairKey pair) { return static_cast<int32_t>(pair & UINT32_MAX); }

struct PairHash {
  size_t operator()(PairKey pair) const { return MixHash(pair); }
};

class Trainer {
 public:
  explicit Trainer(const WordCounts& counts) {
    for (int32_t byte = 0; byte < kBytes; ++byte) NewToken(std::string(1, static_cast<char>(byte)));
    for (const auto& [bytes, count] : counts) AddWord(bytes, count);
    for (const auto& [pair, state] : pairs_) queue_.push({state.count, pair});
  }

  // False when no pair occurs twice.
  bool MergeOnce() {
    while (!queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      if (best.count < 2) return false;
      const auto found = pairs_.find(best.pair);
      const int64_t count = found == pairs_.end() ? 0 : found->second.count;
      if (count != best.count) {
        // A count that grows is pushed, so some entry of a pair is never below its count. This one
        // is above it: back with what is left.
        if (count > 1 && count < best.count) queue_.push({count, best.pair});
        continue;
      }
      Merge(best.pair);
      return true;
    }
    return false;
  }

  int64_t tokens() const { return static_cast<int64_t>(tokens_.size()); }
  BpeMerges TakeMerges() && { return std::move(merges_); }

 private:
  struct PairState {
    int64_t count = 0;
    std::vector<uint32_t> words;  // those that have it, and some that had; with repetitions
  };
  struct Candidate {
    int64_t count;
    PairKey pair;
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };

  int32_t NewToken(std::string bytes) {
    const auto [entry, added] = ids_.try_emplace(bytes, static_cast<int32_t>(tokens_.size()));
    if (added) tokens_.push_back(std::move(bytes));
    return entry->second;
  }

  void AddWord(std::string_view bytes, int64_t count) {
    Word word{{}, count};
    for (const char byte : bytes) word.tokens.push_back(static_cast<uint8_t>(byte));
    const auto index = static_cast<uint32_t>(words_.size());
    for (size_t i = 1; i < word.tokens.size(); ++i) {
      Change(MakePair(word.tokens[i - 1], word.tokens[i]), count, index);
    }
    words_.push_back(std::move(word));
  }

  void Change(PairKey pair, int64_t by, uint32_t word) {
    PairState& state = pairs_[pair];
    state.count += by;
    if (by > 0 && (state.words.empty() || state.words.back() != word)) state.words.push_back(word);
  }

  void Merge(PairKey pair) {
    const std::string& left = tokens_[static_cast<size_t>(Left(pair))];
    const std::string& right = tokens_[static_cast<size_t>(Right(pair))];
    merges_.emplace_back(left, right);
    const int32_t merged = NewToken(left + right);
    const std::vector<uint32_t> words = std::move(pairs_.at(pair).words);
    grown_.clear();
    for (const uint32_t word : words) MergeInWord(word, pair, merged);
    FULMEN_CHECK(pairs_.at(pair).count == 0, "{} occurrences are left", pairs_.at(pair).count);
    pairs_.erase(pair);
    std::sort(grown_.begin(), grown_.end());
    grown_.erase(std::unique(grown_.begin(), grown_.end()), grown_.end());
    for (const PairKey grown : grown_) {
      if (const auto found = pairs_.find(grown); found != pairs_.end()) {
        queue_.push({found->second.count, grown});
      }
    }
  }

  // Replaces the pair from left to right. The pairs on both sides of a replacement go, and those
  // with the merged token come.
  void MergeInWord(uint32_t index, PairKey pair, int32_t merged) {
    std::vector<int32_t>& tokens = words_[index].tokens;
    const int64_t count = words_[index].count;
    const int32_t left = Left(pair);
    const int32_t right = Right(pair);
    const auto grow = [&](PairKey with_merged) {
      Change(with_merged, count, index);
      grown_.push_back(with_merged);
    };
    size_t out = 0;
    for (size_t i = 0; i < tokens.size(); ++out) {
      if (i + 1 == tokens.size() || tokens[i] != left || tokens[i + 1] != right) {
        tokens[out] = tokens[i++];
        continue;
      }
      Change(pair, -count, index);
      if (out > 0) {
        Change(MakePair(tokens[out - 1], left), -count, index);
        grow(MakePair(tokens[out - 1], merged));
      }
      if (i + 2 < tokens.size()) {
        Change(MakePair(right, tokens[i + 2]), -count, index);
        grow(MakePair(merged, tokens[i + 2]));
      }
      tokens[out] = merged;
      i += 2;
    }
    tokens.resize(out);
  }

  std::vector<std::string> tokens_;
  std::unordered_map<std::string, int32_t, WordHash, std::equal_to<>> ids_;
  std::vector<Word> words_;
  std::unordered_map<PairKey, PairState, PairHash> pairs_;
  std::priority_queue<Candidate> queue_;  // may hold a pair several times, with counts it once had
  std::vector<PairKey> grown_;
  BpeMerges merges_;
};

}  // namespace

void CountWords(std::string_view text, WordCounts& counts) {
  const PublishedSplit split;
  const char* end = text.data() + text.size();
  for (const char* begin = text.data(); begin != end;) {
    const char* word_end = split.PieceEnd(begin, end);
    const std::string_view word(begin, static_cast<size_t>(word_end - begin));
    begin = word_end;
    if (word.size() > kLongestWord) continue;
    const auto found = counts.find(word);
    if (found != counts.end()) {
      ++found->second;
    } else {
      counts.emplace(word, 1);
    }
  }
}

Result<BpeMerges> TrainBpe(const WordCounts& counts, int64_t vocabulary, int64_t special,
                           const std::function<bool()>& go_on) {
  Trainer trainer(counts);
  while (trainer.tokens() + special < vocabulary) {
    if (!go_on()) return Fail(ErrorCode::kCancelled, "interrupted");
    if (trainer.MergeOnce()) continue;
    return Fail(ErrorCode::kInvalidArgument,
                "the text is too short for a vocabulary of {}: it gives one of {} at most, as no "
                "further pair of tokens occurs twice",
                vocabulary, trainer.tokens() + special);
  }
  return std::move(trainer).TakeMerges();
}

std::vector<std::string> FamilySpecialTokens() {
  return {"<beginning_of_sentence>", "<end_of_sentence>", "<begin_of_document>",
          "<end_of_document>",       "<function_call>",   "<image>"};
}

std::string TokenizerJson(const BpeMerges& merges, const std::vector<std::string>& special) {
  Json vocabulary = Json::object();
  std::vector<std::pair<const std::string, Json>>& entries =
      vocabulary.get_ref<Json::object_t&>();  // keys are unique, and looking for them is slow
  std::unordered_set<std::string> known;
  const auto add = [&](const std::string& bytes) {
    if (known.insert(bytes).second) {
      entries.emplace_back(SpellingFromBytes(bytes), entries.size());
    }
  };
  for (int32_t byte = 0; byte < kBytes; ++byte) add(std::string(1, static_cast<char>(byte)));
  Json merge_list = Json::array();
  for (const auto& [left, right] : merges) {
    add(left + right);
    merge_list.push_back(SpellingFromBytes(left) + " " + SpellingFromBytes(right));
  }
  Json added = Json::array();
  for (const std::string& content : special) {
    added.push_back(
        AddedTokenJson(static_cast<int64_t>(entries.size() + added.size()), content, true));
  }
  return TokenizerJsonOf(std::move(vocabulary), std::move(merge_list), std::move(added),
                         /*published_split=*/true);
}

std::string TokenizerConfigJson(std::optional<ChatFormat> chat) {
  Json json = {{"tokenizer_class", "PreTrainedTokenizerFast"},
               {"bos_token", "<beginning_of_sentence>"},
               {"eos_token", "<end_of_sentence>"},
               {"add_prefix_space", false},
               {"clean_up_tokenization_spaces", false}};
  if (chat) json["chat_template"] = ChatTemplate(*chat);
  return json.dump(1) + "\n";
}

}  // namespace fulmen
