#include "serve/recent_answers.h"

#include <gtest/gtest.h>

#include <string>

namespace fulmen {
namespace {

using std::chrono::minutes;

KeptAnswer Answer(const std::string& owner, const std::string& name, std::string body) {
  return {.name = {.key = owner, .name = name, .request_hash = "h"},
          .is_whole = true,
          .body = std::move(body)};
}

std::string BodyOf(RecentAnswers& answers, const std::string& owner, const std::string& name,
                   Clock::time_point now) {
  const KeptAnswer* found = answers.Find(owner, name, now);
  return found == nullptr ? "none" : found->body;
}

TEST(RecentAnswers, BelongToTheirOwnersForAWhile) {
  RecentAnswers answers({.age = minutes(60), .bytes = 1 << 20});
  const Clock::time_point start;
  answers.Keep(Answer("one", "k", "A"), start);
  answers.Keep(Answer("other", "k", "B"), start + minutes(10));
  EXPECT_EQ(BodyOf(answers, "one", "k", start + minutes(59)), "A");
  EXPECT_EQ(BodyOf(answers, "other", "k", start + minutes(59)), "B");
  EXPECT_EQ(BodyOf(answers, "third", "k", start), "none");
  EXPECT_EQ(BodyOf(answers, "one", "k", start + minutes(60)), "none");
  EXPECT_EQ(BodyOf(answers, "other", "k", start + minutes(60)), "B");
  answers.Keep(Answer("other", "k", "C"), start + minutes(61));
  EXPECT_EQ(BodyOf(answers, "other", "k", start + minutes(100)), "C");
}

TEST(RecentAnswers, TheOldestGoWhereRoomEnds) {
  RecentAnswers answers({.age = minutes(60), .bytes = 100'000});
  const Clock::time_point now;
  for (const char* name : {"a", "b", "c"}) {
    answers.Keep(Answer("", name, std::string(40'000, 'x')), now);
  }
  EXPECT_EQ(BodyOf(answers, "", "a", now), "none");
  EXPECT_EQ(BodyOf(answers, "", "b", now).size(), 40'000U);
  answers.Keep(Answer("", "d", std::string(100'000, 'x')), now);
  for (const char* name : {"a", "b", "c", "d"}) EXPECT_EQ(BodyOf(answers, "", name, now), "none");
  // Small ones have their size, too.
  for (int i = 0; i < 1000; ++i) answers.Keep(Answer("", std::to_string(i), ""), now);
  EXPECT_EQ(BodyOf(answers, "", "0", now), "none");
  EXPECT_EQ(BodyOf(answers, "", "999", now), "");
}

}  // namespace
}  // namespace fulmen
