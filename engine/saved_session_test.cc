#include "engine/saved_session.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace fulmen {
namespace {

SavedTurn Turn(int64_t kept, std::vector<int32_t> ids, int64_t answer) {
  return {.messages = {{{"role", "user"}, {"content", "Hi"}}},
          .kept = kept,
          .ids = std::move(ids),
          .answer = answer,
          .address = {}};
}

TEST(SavedSession, NamesPrint) {
  for (const std::string name : {"a", "my agent", "-x", "über ☃", "a\\b", "."}) {
    EXPECT_TRUE(CheckSessionName(name)) << name;
  }
  for (const std::string& name :
       {std::string(), std::string(201, 'a'), std::string("a/b"), std::string("a\nb"),
        std::string("a\0b", 3), std::string("\x7f"), std::string("\xff"), std::string("\xc2\x85"),
        std::string("\xe2\x80\xa8")}) {
    const Status status = CheckSessionName(name);
    ASSERT_FALSE(status) << name;
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(status.error().message.starts_with(
        "a session's name should be 1 to 200 bytes of printable UTF-8 without \"/\", found \""));
  }
  EXPECT_TRUE(CheckSessionName(std::string(200, 'a')));
  EXPECT_TRUE(CheckSessionSpace(""));
  EXPECT_TRUE(CheckSessionSpace("org/a"));
  EXPECT_FALSE(CheckSessionSpace("\t"));
}

TEST(SavedSession, TurnsKeepWhatStays) {
  SavedSession session;
  EXPECT_TRUE(session.Ids().empty());
  EXPECT_EQ(session.Messages(), Json::array());
  session.turns = {Turn(0, {1, 2, 3, 4}, 2), Turn(2, {5}, 2), Turn(3, {6, 7}, 4)};
  EXPECT_EQ(session.Ids(), (std::vector<int32_t>{1, 2, 5, 6, 7}));
  EXPECT_EQ(session.Messages().size(), 3U);
  const std::span<const int32_t> answer = session.turns[2].answer_ids();
  EXPECT_EQ(std::vector<int32_t>(answer.begin(), answer.end()), (std::vector<int32_t>{7}));
  EXPECT_TRUE(Turn(2, {5}, 3).answer_ids().empty());
}

TEST(SavedSession, TurnsAreChecked) {
  EXPECT_TRUE(CheckTurn(Turn(3, {5, 6}, 4), 3));
  EXPECT_TRUE(CheckTurn(Turn(0, {}, 0), 3));
  const auto error = [](const SavedTurn& turn) {
    const Status status = CheckTurn(turn, 3);
    return status ? "" : status.error().message;
  };
  EXPECT_EQ(error(Turn(4, {5}, 4)),
            "kept should be a whole number from 0 to the 3 tokens before it, found 4");
  EXPECT_EQ(error(Turn(-1, {5}, 0)),
            "kept should be a whole number from 0 to the 3 tokens before it, found -1");
  EXPECT_EQ(error(Turn(1, {5, -6}, 1)), "ids should be at least 0, found -6");
  EXPECT_EQ(error(Turn(1, {5}, 0)), "answer should be a whole number from 1 to 2, found 0");
  EXPECT_EQ(error(Turn(1, {5}, 3)), "answer should be a whole number from 1 to 2, found 3");
  SavedTurn turn = Turn(0, {}, 0);
  turn.messages = Json::array();
  EXPECT_EQ(error(turn), "messages should be a list of at least one, found []");
  turn.messages = {{{"content", "Hi"}}};
  EXPECT_EQ(error(turn),
            R"(each of messages should be an object with a role, found {"content":"Hi"})");
  turn = Turn(0, {}, 0);
  Json& content = turn.messages[0]["content"];
  for (int level = 0; level < 188; ++level) content = Json::array({content});
  EXPECT_EQ(error(turn), "");
  content = Json::array({content});
  EXPECT_EQ(error(turn), "messages should nest at most 190 levels deep");
}

TEST(SavedSession, AddressesNameTheIds) {
  const std::vector<int32_t> ids = {1, 2, 3};
  const std::string address = AnswerAddress("", "model", ids);
  EXPECT_EQ(address.size(), 46U);
  EXPECT_TRUE(address.starts_with("ft_"));
  EXPECT_EQ(AnswerAddress("", "model", ids), address);
  EXPECT_NE(AnswerAddress("other", "model", ids), address);
  EXPECT_NE(AnswerAddress("", "another", ids), address);
  EXPECT_NE(AnswerAddress("", "model", std::vector<int32_t>{1, 2}), address);
}

}  // namespace
}  // namespace fulmen
