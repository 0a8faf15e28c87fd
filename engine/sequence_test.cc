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

Sequence MakeSequence(const GenerateRequest& request, int64_t max_position, int64_t position) {
  const SequenceLimits limits{kVocab, max_position, position, {}};
  Result<Sequence> sequence = Sequence::Create(request, limits, nullptr);
  EXPECT_TRUE(sequence.has_value()) << (sequence ? "" : sequence.error().message);
  return *std::move(sequence);
}

std::vector<int32_t> Tokens(const Sequence::Work& work) {
  return {work.tokens.begin(), work.tokens.end()};
}

TEST(Sequence, ReadsThePromptInChunksThenOneTokenAtATime) {
  GenerateRequest request;
  request.prompt = {1, 2, 3, 4, 5};
  request.max_tokens = 2;
  Sequence sequence = MakeSequence(request, 100, 0);

  Sequence::Work work = sequence.Schedule(3);
  EXPECT_EQ(Tokens(work), (std::vector<int32_t>{1, 2, 3}));
  EXPECT_FALSE(work.wants_logits);
  sequence.Postprocess(work, {});
  EXPECT_EQ(sequence.prompt_read(), 3);
  EXPECT_EQ(sequence.Unread(), (std::vector<int32_t>{4, 5}));

  work = sequence.Schedule(3);
  EXPECT_EQ(Tokens(work), (std::vector<int32_t>{4, 5}));
  EXPECT_TRUE(work.wants_logits);
  std::vector<float> logits = Choosing(6);
  sequence.Postprocess(work, logits);
  EXPECT_FALSE(sequence.finished());

  work = sequence.Schedule(3);
  EXPECT_EQ(Tokens(work), std::vector<int32_t>{6});
  EXPECT_TRUE(work.wants_logits);
  logits = Choosing(7);
  sequence.Postprocess(work, logits);
  EXPECT_EQ(sequence.finish_reason(), FinishReason::kLength);
  EXPECT_EQ(sequence.ids(), (std::vector<int32_t>{6, 7}));
  EXPECT_EQ(sequence.Unread(), std::vector<int32_t>{7});
}

TEST(Sequence, CountsWhatTheStateHasRead) {
  GenerateRequest request;
  request.prompt = {1, 2};
  request.max_tokens = 50;
  for (const int64_t room : {2, 3, 6}) {
    Sequence sequence = MakeSequence(request, 20, 20 - room);
    while (!sequence.finished()) {
      std::vector<float> logits = Choosing(6);
      sequence.Postprocess(sequence.Schedule(512), logits);
    }
    EXPECT_EQ(sequence.finish_reason(), FinishReason::kContext);
    EXPECT_EQ(static_cast<int64_t>(sequence.ids().size()), room - 1);
  }
  const Result<Sequence> too_long = Sequence::Create(request, {kVocab, 20, 19, {}}, nullptr);
  ASSERT_FALSE(too_long.has_value());
  EXPECT_EQ(too_long.error().message,
            "the prompt's 2 tokens after the 19 already read make 21, but the model's context ends "
            "at 20");
}

TEST(Sequence, TheRepetitionPenaltySeesHistoryAndPrompt) {
  GenerateRequest request;
  request.prompt = {1};
  request.history = {2};
  request.max_tokens = 1;
  request.sampling.repetition_penalty = 2;
  Sequence sequence = MakeSequence(request, 100, 1);
  std::vector<float> logits = {0, 1.9F, 1.9F, 1, 0, 0, 0, 0};
  sequence.Postprocess(sequence.Schedule(1), logits);
  EXPECT_EQ(sequence.ids(), std::vector<int32_t>{3});
}

TEST(Sequence, StopStringsNeedATokenizer) {
  GenerateRequest request;
  request.prompt = {1};
  request.max_tokens = 1;
  request.stop_strings = {"x"};
  EXPECT_FALSE(Sequence::Create(request, {kVocab, 10, 0, {}}, nullptr).has_value());
}

}  // namespace
}  // namespace fulmen
