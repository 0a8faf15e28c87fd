#include "serve/answer_text.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "serve/testing/answer_events.h"

namespace fulmen {
namespace {

using StepKind = AnswerStep::Kind;
using testing::Piece;
using PieceKind = AnswerPiece::Kind;

Event Token(int32_t id) { return TokenSampled{.choice = 0, .id = id, .logprob = -1.0}; }
Event Finished(FinishReason reason) {
  return AnswerFinished{.reason = reason, .ids = {7, 8}, .reasoning_tokens = 3};
}

std::vector<int32_t> IdsOf(std::span<const TokenSampled> tokens) {
  std::vector<int32_t> ids;
  for (const TokenSampled& token : tokens) ids.push_back(token.id);
  return ids;
}

TEST(AnswerText, TokensBelongToTheTextAfterThem) {
  AnswerText text;
  const auto add = [&](const Event& event) { return text.Add(event); };
  add(Token(1));
  EXPECT_EQ(add(Piece(PieceKind::kReasoning, "r")).kind, StepKind::kReasoning);
  add(Token(2));
  add(Token(3));
  const Event first = Piece(PieceKind::kText, "a");  // what a step says of it refers to it
  AnswerStep step = add(first);
  EXPECT_EQ(step.kind, StepKind::kContent);
  EXPECT_EQ(step.text, "a");
  EXPECT_EQ(IdsOf(step.tokens), (std::vector<int32_t>{2, 3}));
  step = add(Piece(PieceKind::kText, "b"));  // held back until now
  EXPECT_TRUE(step.tokens.empty());
  add(Token(4));
  EXPECT_EQ(add(Piece(PieceKind::kCall, "f")).kind, StepKind::kCall);
  add(Token(5));
  add(Piece(PieceKind::kArguments, "{}"));
  add(Token(6));
  EXPECT_EQ(add(Piece(PieceKind::kCallEnd)).kind, StepKind::kCallEnd);
  add(Token(7));
  EXPECT_EQ(IdsOf(add(Piece(PieceKind::kText, "c")).tokens), std::vector<int32_t>{7});
  add(Token(8));
  EXPECT_EQ(add(Finished(FinishReason::kToolCalls)).kind, StepKind::kFinish);
  EXPECT_EQ(IdsOf(text.content_tokens()), (std::vector<int32_t>{2, 3, 7}));
  EXPECT_EQ(text.content(), "abc");
  EXPECT_EQ(text.reasoning(), "r");
  EXPECT_EQ(text.ids(), (std::vector<int32_t>{7, 8}));
  EXPECT_EQ(text.reasoning_tokens(), 3);
}

TEST(AnswerText, CallsAreToldApart) {
  AnswerText text;
  text.Add(Piece(PieceKind::kCall, "f"));
  text.Add(Piece(PieceKind::kArguments, "{"));
  text.Add(Piece(PieceKind::kText, "broken"));
  EXPECT_EQ(text.Add(Piece(PieceKind::kCall, "g")).call, 1U);
  EXPECT_EQ(text.Add(Piece(PieceKind::kArguments, "{")).call, 1U);
  EXPECT_EQ(text.Add(Piece(PieceKind::kArguments, "}")).text, "}");
  text.Add(Piece(PieceKind::kCallEnd));
  text.Add(Finished(FinishReason::kToolCalls));
  ASSERT_EQ(text.calls().size(), 2U);
  EXPECT_FALSE(text.calls()[0].ended);
  EXPECT_EQ(text.calls()[1].name, "g");
  EXPECT_EQ(text.calls()[1].arguments, "{}");
  EXPECT_TRUE(text.calls()[1].ended);
  EXPECT_EQ(text.finish(), FinishReason::kToolCalls);
}

TEST(AnswerText, NothingFollowsTheOneCall) {
  AnswerText text(/*one_call=*/true);
  text.Add(Piece(PieceKind::kCall, "f"));
  text.Add(Piece(PieceKind::kArguments, "{}"));
  text.Add(Piece(PieceKind::kCallEnd));
  text.Add(Token(1));
  for (const PieceKind kind : {PieceKind::kText, PieceKind::kCall, PieceKind::kArguments,
                               PieceKind::kCallEnd, PieceKind::kReasoning}) {
    EXPECT_EQ(text.Add(Piece(kind, "x")).kind, StepKind::kNothing);
  }
  text.Add(AnswerFinished{.reason = FinishReason::kStop, .ids = {}, .stop_string = "x"});
  EXPECT_EQ(text.calls().size(), 1U);
  EXPECT_EQ(text.content(), "");
  EXPECT_EQ(text.finish(), FinishReason::kToolCalls);
  EXPECT_FALSE(text.stop_string());
  EXPECT_TRUE(text.content_tokens().empty());
}

TEST(AnswerText, OnlySomeEventsAreAChoices) {
  EXPECT_EQ(ChoiceOf(TokenSampled{.choice = 3}), 3U);
  EXPECT_EQ(ChoiceOf(AnswerFinished{.choice = 2, .ids = {}}), 2U);
  EXPECT_FALSE(ChoiceOf(PromptProgress{}));
  EXPECT_FALSE(ChoiceOf(RequestDone{}));
}

}  // namespace
}  // namespace fulmen
