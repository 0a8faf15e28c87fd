#include "engine/sequence.h"

#include <gtest/gtest.h>

#include <vector>

namespace fulmen {
namespace {

constexpr int64_t kVocab = 8;

// Logits that make greedy decoding choose `token`.
std::vector<float> Choosing(int32_t token) {
  std::vector<float> logits(kVocab, 0);
  logits[static_cast<size_t>(token)] = 1;
  return logits;
}

Sequence MakeSequence(const Request& request, int64_t max_position = 100) {
  const SequenceLimits limits{kVocab, max_position, {}};
  Result<Sequence> sequence = Sequence::Create(request, 0, limits, nullptr);
  EXPECT_TRUE(sequence.has_value()) << (sequence ? "" : sequence.error().message);
  return *std::move(sequence);
}

// Reads all that is unread, and takes the token that the logits choose.
void ReadAndTake(Sequence& sequence, std::vector<float> logits) {
  sequence.Read(sequence.unread());
  sequence.Take(sequence.Sample(logits).id);
}

TEST(Sequence, ReadsThePromptInAnyPiecesThenOneTokenAtATime) {
  Request request;
  request.prompt = {1, 2, 3, 4, 5};
  request.max_tokens = 2;
  Sequence sequence = MakeSequence(request);
  EXPECT_EQ(sequence.unread(), 5);
  sequence.Read(3);
  EXPECT_EQ(sequence.position(), 3);
  EXPECT_EQ(sequence.unread(), 2);

  ReadAndTake(sequence, Choosing(6));
  EXPECT_FALSE(sequence.finished());
  EXPECT_EQ(sequence.unread(), 1);
  EXPECT_EQ(sequence.tokens(), (std::vector<int32_t>{1, 2, 3, 4, 5, 6}));

  ReadAndTake(sequence, Choosing(7));
  EXPECT_EQ(sequence.finish_reason(), FinishReason::kLength);
  EXPECT_EQ(sequence.ids(), (std::vector<int32_t>{6, 7}));
  EXPECT_EQ(sequence.position(), 6);
  const std::vector<PrefixKey> keys(sequence.keys().begin(), sequence.keys().end());
  EXPECT_EQ(keys, (std::vector<PrefixKey>{1, 2, 3, 4, 5, 6, 7}));
}

// As after a want of memory: what was sampled is read again, and counts once.
TEST(Sequence, GoesOnAfterItWasSetBack) {
  Request request;
  request.prompt = {1, 2, 3};
  request.max_tokens = 4;
  request.sampling.frequency_penalty = 1;
  Sequence sequence = MakeSequence(request);
  ReadAndTake(sequence, Choosing(6));
  ReadAndTake(sequence, {0, 0, 0, 0, 0.5F, 0, 2, 0});
  EXPECT_EQ(sequence.ids(), (std::vector<int32_t>{6, 6}));
  sequence.SetPosition(1);
  EXPECT_EQ(sequence.unread(), 4);
  sequence.Read(2);
  ReadAndTake(sequence, {0, 0, 0, 0, 0.5F, 0, 2, 0});
  EXPECT_EQ(sequence.ids(), (std::vector<int32_t>{6, 6, 4}));
  EXPECT_EQ(sequence.unread(), 1);
}

TEST(Sequence, EndsWhereTheModelCanReadNoMore) {
  Request request;
  request.prompt = {1, 2};
  request.max_tokens = 50;
  for (const int64_t room : {2, 3, 6}) {
    Sequence sequence = MakeSequence(request, room);
    while (!sequence.finished()) ReadAndTake(sequence, Choosing(6));
    EXPECT_EQ(sequence.finish_reason(), FinishReason::kContext);
    EXPECT_EQ(std::ssize(sequence.ids()), room - 1);
  }
  const Result<Sequence> too_long = Sequence::Create(request, 0, {kVocab, 1, {}}, nullptr);
  ASSERT_FALSE(too_long.has_value());
  EXPECT_EQ(too_long.error().message, "the prompt has 2 tokens, but the model's context ends at 1");
}

TEST(Sequence, TheRepetitionPenaltySeesThePrompt) {
  Request request;
  request.prompt = {2, 1};
  request.max_tokens = 1;
  request.sampling.repetition_penalty = 2;
  Sequence sequence = MakeSequence(request);
  ReadAndTake(sequence, {0, 1.9F, 1.9F, 1, 0, 0, 0, 0});
  EXPECT_EQ(sequence.ids(), std::vector<int32_t>{3});
}

TEST(Sequence, EachChoiceHasASeedOfItsOwn) {
  Request request;
  request.prompt = {1};
  request.max_tokens = 30;
  request.sampling.temperature = 5;
  request.sampling.seed = 7;
  const auto answer = [&](int64_t choice, uint64_t seed) {
    request.sampling.seed = seed;
    Sequence sequence = *Sequence::Create(request, choice, {kVocab, 100, {}}, nullptr);
    while (!sequence.finished()) ReadAndTake(sequence, Choosing(3));
    return sequence.ids();
  };
  EXPECT_NE(answer(0, 7), answer(1, 7));
  EXPECT_EQ(answer(1, 7), answer(0, 8));
}

TEST(Sequence, StopStringsNeedATokenizer) {
  Request request;
  request.prompt = {1};
  request.max_tokens = 1;
  request.stop_strings = {"x"};
  EXPECT_FALSE(Sequence::Create(request, 0, {kVocab, 10, {}}, nullptr).has_value());
}

}  // namespace
}  // namespace fulmen
