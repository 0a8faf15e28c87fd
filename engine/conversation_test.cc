#include "engine/conversation.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/check.h"
#include "base/thread_pool.h"
#include "base/workspace.h"
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
    return ValueOrDie(Generate(model_, &tokenizer_, kernels_, context_, state, request));
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
  const Kernels& kernels_ = *ValueOrDie(SelectKernels("cpu"));
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
      SequenceState fresh(model_.config);
      GenerateRequest whole;
      whole.prompt = All(request);
      EXPECT_EQ(Answer(fresh, whole, 12).ids, result.ids);
    }
  }
}

TEST_F(ConversationTest, AStopStringOrAnErrorMakesTheNextTurnReadEverything) {
  Conversation conversation(model_, tokenizer_, ChatFormat::kText01, "");
  const GenerateRequest first = ValueOrDie(conversation.AddUser("Hello"));
  SequenceState copy(model_.config);
  stops_ = {Answer(copy, first, 20).text.substr(5, 3)};
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
