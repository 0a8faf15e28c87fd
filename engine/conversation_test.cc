#include "engine/conversation.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/check.h"
#include "base/thread_pool.h"
#include "base/workspace.h"
#include "model/testing/test_sequence.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

// The embedded model: its vocabulary has the markers of every format of the family.
std::string ModelFolder() { return testing::SourcePath("models/fulmen-nano"); }

template <class T>
T ValueOrDie(Result<T> result) {
  FULMEN_CHECK(result.has_value(), "{}", result.error().message);
  return *std::move(result);
}

class ConversationTest : public ::testing::Test {
 protected:
  GenerateResult Answer(SequenceState& state, GenerateRequest request, int64_t max_tokens) {
    request.max_tokens = max_tokens;
    request.stop_strings = stops_;
    return ValueOrDie(Generate(model_, &tokenizer_, compute_, state, request));
  }

  std::string Text(const std::vector<int32_t>& ids) { return ValueOrDie(tokenizer_.Decode(ids)); }

  // All tokens the conversation stands at before the answer to `request`.
  static std::vector<int32_t> All(const GenerateRequest& request) {
    std::vector<int32_t> ids = request.history;
    ids.insert(ids.end(), request.prompt.begin(), request.prompt.end());
    return ids;
  }

  Model model_ = ValueOrDie(LoadModel(ModelFolder()));
  Tokenizer tokenizer_ = ValueOrDie(Tokenizer::Load(ModelFolder()));
  ThreadPool pool_{2};
  Workspace scratch_;
  KernelContext context_{pool_, scratch_};
  Compute compute_{*ValueOrDie(SelectKernels("cpu")), context_};
  std::vector<std::string> stops_;
};

TEST_F(ConversationTest, ATurnReadsOnlyItsOwnTokens) {
  for (const ChatFormat format : {ChatFormat::kText01, ChatFormat::kVl01, ChatFormat::kM1}) {
    SCOPED_TRACE(ChatFormatName(format));
    Conversation conversation(model_, tokenizer_, format, "Be brief.");
    Json messages = Json::array();
    messages.push_back({{"role", "system"}, {"content", "Be brief."}});
    int64_t read = 0;
    for (const std::string message : {"Who are you?", "And <end_of_sentence> then?", "Why?"}) {
      messages.push_back({{"role", "user"}, {"content", message}});
      const auto pieces = ValueOrDie(FormatChat(
          format, {{"messages", messages}, {"tools", nullptr}, {"add_generation_prompt", true}}));
      const GenerateRequest request = ValueOrDie(conversation.AddUser(message));
      EXPECT_EQ(conversation.state().position(), read);
      EXPECT_EQ(static_cast<int64_t>(request.history.size()), read);
      // What was read and what comes now are the conversation as the format writes it.
      EXPECT_EQ(Text(All(request)), ChatText(pieces));

      const GenerateResult result = Answer(conversation.state(), request, 12);
      conversation.AddAnswer(request, result);
      read = conversation.state().position();
      messages.push_back({{"role", "assistant"}, {"content", result.text}});

      // The same answer from a state that reads everything anew.
      testing::TestSequence fresh(model_.config);
      GenerateRequest whole;
      whole.prompt = All(request);
      EXPECT_EQ(Answer(fresh.state, whole, 12).ids, result.ids);
    }
  }
}

TEST_F(ConversationTest, AStopStringOrAnErrorMakesTheNextTurnReadEverything) {
  Conversation conversation(model_, tokenizer_, ChatFormat::kText01, "");
  const GenerateRequest first = ValueOrDie(conversation.AddUser("Hello"));
  testing::TestSequence copy(model_.config);
  stops_ = {Answer(copy.state, first, 20).text.substr(5, 3)};
  const GenerateResult cut = Answer(conversation.state(), first, 20);
  ASSERT_TRUE(cut.at_stop_string);
  conversation.AddAnswer(first, cut);
  EXPECT_EQ(conversation.state().position(), 0);
  const GenerateRequest second = ValueOrDie(conversation.AddUser("More"));
  EXPECT_TRUE(second.history.empty());
  EXPECT_EQ(Text(second.prompt).find(Text(first.prompt) + cut.text + "<end_of_sentence>"), 0U);

  // Read in part, then given up.
  conversation.state().Advance(1);
  conversation.Withdraw();
  EXPECT_EQ(conversation.state().position(), 0);
  EXPECT_EQ(ValueOrDie(conversation.AddUser("More")).prompt, second.prompt);

  conversation.Reset();
  EXPECT_EQ(ValueOrDie(conversation.AddUser("Hello")).prompt, first.prompt);
}

// A turn that is taken back costs no reading: the next one goes on from the turn before it.
TEST_F(ConversationTest, AWithdrawnTurnLeavesWhatWasReadBefore) {
  Conversation conversation(model_, tokenizer_, ChatFormat::kText01, "");
  const GenerateRequest first = ValueOrDie(conversation.AddUser("Hello"));
  const GenerateResult answer = Answer(conversation.state(), first, 8);
  conversation.AddAnswer(first, answer);
  const int64_t read = conversation.state().position();
  const GenerateRequest second = ValueOrDie(conversation.AddUser("Why?"));
  const std::vector<int32_t> expected = Answer(conversation.state(), second, 8).ids;
  for (int i = 0; i < 2; ++i) {
    conversation.Withdraw();
    EXPECT_EQ(conversation.state().position(), read);
    const GenerateRequest again = ValueOrDie(conversation.AddUser("Why?"));
    EXPECT_EQ(again.prompt, second.prompt);
    EXPECT_EQ(again.history, second.history);
    EXPECT_EQ(Answer(conversation.state(), again, 8).ids, expected);
  }
  // An answer that a stop string cut is read again as the format shows it, and nothing before it.
  conversation.Withdraw();
  stops_ = {ValueOrDie(tokenizer_.Decode(expected)).substr(4, 3)};
  const GenerateRequest third = ValueOrDie(conversation.AddUser("Why?"));
  conversation.AddAnswer(third, Answer(conversation.state(), third, 8));
  EXPECT_EQ(conversation.state().position(), read);
  const GenerateRequest fourth = ValueOrDie(conversation.AddUser("Go on"));
  EXPECT_EQ(
      std::vector<int32_t>(fourth.prompt.begin(), fourth.prompt.begin() + std::ssize(third.prompt)),
      third.prompt);
}

TEST_F(ConversationTest, WithoutAFormatTheTextGoesOn) {
  Conversation conversation(model_, tokenizer_, std::nullopt, "");
  const GenerateRequest first = ValueOrDie(conversation.AddUser("Alice was"));
  EXPECT_EQ(first.prompt, tokenizer_.Encode("Alice was", Tokenizer::Markers::kParse));
  const GenerateResult answer = Answer(conversation.state(), first, 5);
  conversation.AddAnswer(first, answer);
  const GenerateRequest second = ValueOrDie(conversation.AddUser("The end"));
  EXPECT_EQ(Text(All(second)), "Alice was" + answer.text + "\nThe end");
  EXPECT_EQ(static_cast<int64_t>(second.history.size()), conversation.state().position());
}

}  // namespace
}  // namespace fulmen
