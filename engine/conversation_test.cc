#include "engine/conversation.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "engine/testing/nano.h"

namespace fulmen {
namespace {

using testing::NanoTokenizer;
using testing::ValueOrDie;

class ConversationTest : public ::testing::Test {
 protected:
  GenerateResult Answer(Request request, int64_t max_tokens) {
    request.max_tokens = max_tokens;
    request.stop_strings = stops_;
    return ValueOrDie(Generate(test_.engine, request));
  }
  static std::string Text(const std::vector<int32_t>& ids) {
    return ValueOrDie(NanoTokenizer().Decode(ids));
  }

  testing::TestEngine test_;
  std::vector<std::string> stops_;
};

TEST_F(ConversationTest, ATurnReadsOnlyItsOwnTokens) {
  for (const ChatFormat format : {ChatFormat::kText01, ChatFormat::kVl01, ChatFormat::kM1}) {
    SCOPED_TRACE(ChatFormatName(format));
    Conversation conversation(NanoTokenizer(), format, "Be brief.");
    Json messages = Json::array();
    messages.push_back({{"role", "system"}, {"content", "Be brief."}});
    int64_t read = 0;
    for (const std::string message : {"Who are you?", "And <end_of_sentence> then?", "Why?"}) {
      messages.push_back({{"role", "user"}, {"content", message}});
      const auto pieces = ValueOrDie(FormatChat(
          format, {{"messages", messages}, {"tools", nullptr}, {"add_generation_prompt", true}}));
      Request request = ValueOrDie(conversation.AddUser(message));
      request.space = ChatFormatName(format);
      // What was read and what comes now are the conversation as the format writes it.
      EXPECT_EQ(Text(request.prompt), ChatText(pieces));
      EXPECT_FALSE(request.borders.empty());
      for (const int64_t border : request.borders) {
        EXPECT_EQ(request.prompt[static_cast<size_t>(border)],
                  NanoTokenizer().TokenId("<beginning_of_sentence>"));
      }

      const GenerateResult result = Answer(request, 12);
      conversation.AddAnswer(result);
      EXPECT_EQ(result.usage.cached_tokens, read);
      read = std::ssize(request.prompt) + std::ssize(result.ids) - 1;
      messages.push_back({{"role", "assistant"}, {"content", Text(result.ids)}});
      EXPECT_EQ(conversation.messages(), messages);

      // The same answer from an engine that reads everything anew.
      testing::TestEngine fresh;
      Request whole = request;
      whole.max_tokens = 12;
      EXPECT_EQ(ValueOrDie(Generate(fresh.engine, whole)).ids, result.ids);
    }
  }
}

TEST_F(ConversationTest, AnAnswerCutByAStopStringIsReadAsTheFormatShowsIt) {
  Conversation conversation(NanoTokenizer(), ChatFormat::kText01, "");
  const Request first = ValueOrDie(conversation.AddUser("Hello"));
  stops_ = {Answer(first, 20).text.substr(5, 3)};
  const GenerateResult cut = Answer(first, 20);
  ASSERT_TRUE(cut.at_stop_string);
  conversation.AddAnswer(cut);
  const Request second = ValueOrDie(conversation.AddUser("More"));
  EXPECT_EQ(Text(second.prompt).find(Text(first.prompt) + cut.text + "<end_of_sentence>"), 0U);

  conversation.Withdraw();
  EXPECT_EQ(ValueOrDie(conversation.AddUser("More")).prompt, second.prompt);

  conversation.Reset();
  EXPECT_EQ(ValueOrDie(conversation.AddUser("Hello")).prompt, first.prompt);
}

// A turn that is taken back costs no reading: the next one goes on from the turn before it.
TEST_F(ConversationTest, AWithdrawnTurnLeavesWhatWasReadBefore) {
  Conversation conversation(NanoTokenizer(), ChatFormat::kText01, "");
  const Request first = ValueOrDie(conversation.AddUser("Hello"));
  const GenerateResult answer = Answer(first, 8);
  conversation.AddAnswer(answer);
  const int64_t read = std::ssize(first.prompt) + std::ssize(answer.ids) - 1;
  const Request second = ValueOrDie(conversation.AddUser("Why?"));
  const std::vector<int32_t> expected = Answer(second, 8).ids;
  for (int i = 0; i < 2; ++i) {
    conversation.Withdraw();
    const Request again = ValueOrDie(conversation.AddUser("Why?"));
    EXPECT_EQ(again.prompt, second.prompt);
    const GenerateResult result = Answer(again, 8);
    EXPECT_EQ(result.ids, expected);
    EXPECT_GE(result.usage.cached_tokens, read);
  }
}

// Turn by turn, one that is kept and taken up again has the prompts of one that never ended.
TEST_F(ConversationTest, AKeptConversationGoesOnAsIfItHadNotEnded) {
  for (const std::optional<ChatFormat> format :
       {std::optional<ChatFormat>(ChatFormat::kText01), std::optional(ChatFormat::kM1),
        std::optional<ChatFormat>()}) {
    for (const bool stopped : {false, true}) {
      const std::string system = format ? "Be brief." : "";
      Conversation live(NanoTokenizer(), format, system);
      SavedSession saved;
      saved.format = format;
      saved.system = system;
      stops_.clear();
      for (const std::string message : {"Hello", "Caf\xc3\xa9 <end_of_sentence>", "Why?"}) {
        Conversation taken_up = ValueOrDie(Conversation::Resume(NanoTokenizer(), saved));
        EXPECT_EQ(taken_up.messages(), live.messages());
        const Request request = ValueOrDie(live.AddUser(message));
        EXPECT_EQ(ValueOrDie(taken_up.AddUser(message)).prompt, request.prompt);
        const GenerateResult result = Answer(request, 12);
        saved.turns.push_back(live.AddAnswer(result));
        EXPECT_EQ(taken_up.AddAnswer(result), saved.turns.back());
        if (stopped && result.text.size() > 6) stops_ = {result.text.substr(3, 2)};
        saved.name = "name";
        saved.model = "model";
        EXPECT_TRUE(CheckSession(saved));
      }
    }
  }
}

TEST_F(ConversationTest, WithoutAFormatTheTextGoesOn) {
  Conversation conversation(NanoTokenizer(), std::nullopt, "");
  const Request first = ValueOrDie(conversation.AddUser("Alice was"));
  EXPECT_EQ(first.prompt, NanoTokenizer().Encode("Alice was", Tokenizer::Markers::kParse));
  const GenerateResult answer = Answer(first, 5);
  conversation.AddAnswer(answer);
  const Request second = ValueOrDie(conversation.AddUser("The end"));
  EXPECT_EQ(Text(second.prompt), "Alice was" + answer.text + "\nThe end");
  EXPECT_EQ(Answer(second, 5).usage.cached_tokens,
            std::ssize(first.prompt) + std::ssize(answer.ids) - 1);
}

}  // namespace
}  // namespace fulmen
