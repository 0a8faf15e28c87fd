#include "serve/session_turn.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "serve/testing/served_nano.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

using testing::Message;
using testing::ServedNano;
using testing::ValueOrDie;
using Ids = std::vector<int32_t>;

const Json kInfo = {{"id", "chatcmpl-1"}};

class SessionTurnTest : public ::testing::Test {
 protected:
  ApiResult<std::unique_ptr<SessionTurn>> Begin(const Json& messages) {
    return SessionTurn::Begin(*store_, *nano_.served, "org", "trip", {.messages = messages});
  }
  std::unique_ptr<SessionTurn> MustBegin(const Json& messages) {
    auto turn = Begin(messages);
    EXPECT_TRUE(turn) << turn.error().message;
    return *std::move(turn);
  }
  Ids Encoded(const std::string& text) const {
    return nano_.served->tokenizer().Encode(text, Tokenizer::Markers::kPlain, true);
  }
  static AnswerFinished Finished(Ids ids) {
    AnswerFinished finished;
    finished.ids = std::move(ids);
    return finished;
  }
  SavedSession Stored() { return *ValueOrDie(store_->Find("org", "trip")); }

  const testing::TemporaryFolder folder_;
  std::unique_ptr<SessionStore> store_ = ValueOrDie(SessionStore::Open(folder_ / "sessions.db"));
  ServedNano nano_;
};

TEST_F(SessionTurnTest, GoesOnFromTheTokensOfTheTurnBefore) {
  const auto first =
      MustBegin(Json::array({Message("system", "Be brief."), Message("user", "Hello")}));
  const Ids prompt = first->TakePrompt().ids;
  first->Add({AnswerPiece::Kind::kText, "Good day"});
  const Ids answer = Encoded("Good day");
  ASSERT_TRUE(first->Keep(Finished(answer), kInfo));
  EXPECT_EQ(Stored().system, "Be brief.");

  const auto second = MustBegin(Json::array({Message("user", "And now?")}));
  Ids before = prompt;
  before.insert(before.end(), answer.begin(), answer.end());
  const Ids longer = second->TakePrompt().ids;
  ASSERT_GT(longer.size(), before.size());
  EXPECT_TRUE(std::equal(before.begin(), before.end(), longer.begin()));
  // An answer may be empty, and what was asked is kept all the same.
  ASSERT_TRUE(second->Keep(Finished({}), kInfo));
  EXPECT_EQ(Stored().Messages().size(), 4U);
}

// What was sampled until it was cancelled is what the next turn goes on from.
TEST_F(SessionTurnTest, GoesOnFromACancelledAnswerThatSaidSomething) {
  AnswerFinished cancelled = Finished(Encoded("Good d"));
  cancelled.reason = FinishReason::kCancelled;
  const auto silent = MustBegin(Json::array({Message("user", "Hello")}));
  ASSERT_TRUE(silent->Keep(cancelled, kInfo));
  EXPECT_FALSE(ValueOrDie(store_->Find("org", "trip")));

  const auto turn = MustBegin(Json::array({Message("user", "Hello")}));
  Ids before = turn->TakePrompt().ids;
  turn->Add({AnswerPiece::Kind::kText, "Good d"});
  ASSERT_TRUE(turn->Keep(cancelled, kInfo));
  before.insert(before.end(), cancelled.ids.begin(), cancelled.ids.end());
  EXPECT_EQ(Stored().Ids(), before);
  EXPECT_EQ(Stored().turns.at(0).info, kInfo);
  const Ids longer = MustBegin(Json::array({Message("user", "And now?")}))->TakePrompt().ids;
  ASSERT_GT(longer.size(), before.size());
  EXPECT_TRUE(std::equal(before.begin(), before.end(), longer.begin()));
}

// As the page makes one before its first turn.
TEST_F(SessionTurnTest, BeginsAnEmptySession) {
  SavedSession empty;
  empty.space = "org";
  empty.name = "trip";
  empty.model = nano_.served->identity();
  empty.format = nano_.served->format();
  empty.system = "Be brief.";
  const Json hello = Message("user", "Hello");
  const Ids with_system =
      MustBegin(Json::array({Message("system", "Be brief."), hello}))->TakePrompt().ids;
  ASSERT_TRUE(store_->Create(empty));
  const auto turn = MustBegin(Json::array({hello}));
  EXPECT_EQ(turn->TakePrompt().ids, with_system);
  ASSERT_TRUE(turn->Keep(Finished(Encoded("Hi")), kInfo));
  EXPECT_EQ(Stored().turns.size(), 1U);
}

TEST_F(SessionTurnTest, OneOfTwoThatWentOnFromTheSameTurnIsKept) {
  ASSERT_TRUE(
      MustBegin(Json::array({Message("user", "Hello")}))->Keep(Finished(Encoded("Hi")), kInfo));
  const auto one = MustBegin(Json::array({Message("user", "One")}));
  const auto other = MustBegin(Json::array({Message("user", "Other")}));
  EXPECT_TRUE(one->Keep(Finished(Encoded("1")), kInfo));
  const auto late = other->Keep(Finished(Encoded("2")), kInfo);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind, ApiErrorKind::kConflict);
  EXPECT_EQ(Stored().turns.size(), 2U);
}

TEST_F(SessionTurnTest, ItsSystemTextNeverChanges) {
  const Json hello = Message("user", "Hello");
  ASSERT_TRUE(MustBegin(Json::array({Message("system", "A"), hello}))->Keep(Finished({5}), kInfo));
  EXPECT_TRUE(Begin(Json::array({Message("system", "A"), hello})));
  EXPECT_TRUE(Begin(Json::array({hello})));
  const auto changed = Begin(Json::array({Message("system", "B"), hello}));
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.error().kind, ApiErrorKind::kConflict);
}

}  // namespace
}  // namespace fulmen
