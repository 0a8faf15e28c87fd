// Answers that are held to a grammar, by the model that comes with Fulmen.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "engine/conversation.h"
#include "engine/engine.h"
#include "engine/testing/nano.h"

namespace fulmen {
namespace {

using testing::NanoModel;
using testing::NanoTokenizer;
using testing::TestEngine;
using testing::ValueOrDie;

using GrammarPtr = std::shared_ptr<const Grammar>;

template <class Build>
GrammarPtr GrammarOf(const Build& build) {
  auto grammar = std::make_shared<Grammar>();
  const Status finished = grammar->Finish(build(*grammar));
  EXPECT_TRUE(finished) << finished.error().message;
  return grammar;
}

GrammarPtr TextGrammar(const std::string& text) {
  return GrammarOf([&](Grammar& grammar) { return grammar.Literal(text); });
}

// {"place":"…","kind":"…","digits":[…]}, with the first a word in capitals or not.
GrammarPtr ObjectGrammar() {
  return GrammarOf([](Grammar& grammar) {
    Terms& terms = grammar.terms();
    const ByteSet letters = ByteSet::Range('a', 'z') | ByteSet::Range('A', 'Z');
    const ByteSet digits = ByteSet::Range('0', '9');
    const Expr word = grammar.Lexeme(terms.Repeat(terms.Bytes(letters), 1, 12));
    const Expr digit = grammar.Lexeme(terms.Bytes(digits));
    const Expr more = grammar.Sequence({grammar.Literal(","), digit});
    return grammar.Sequence(
        {grammar.Literal(R"({"place":")"), word, grammar.Literal(R"(","kind_of_place":")"),
         grammar.Choice({grammar.Literal("city"), grammar.Literal("river"), grammar.Literal("")}),
         grammar.Literal(R"(","digits":[)"), digit, grammar.Repeat(more, 0, 3),
         grammar.Literal("]}")});
  });
}

class ConstrainedTest : public ::testing::Test {
 protected:
  static constexpr const char* kQuestion = "Tom lives in Rome. Where does Tom live?";

  static Request Ask(const std::string& question, GrammarPtr grammar, int64_t max_tokens = 60) {
    Conversation conversation(NanoTokenizer(), ChatFormat::kText01, "");
    Request request = ValueOrDie(conversation.AddUser(question));
    request.max_tokens = max_tokens;
    request.stop_tokens = EndTokens(NanoModel(), &NanoTokenizer(), /*chat=*/true);
    request.grammar = std::move(grammar);
    return request;
  }

  struct Heard {
    std::map<int64_t, std::vector<int32_t>> sampled;
    std::map<int64_t, std::string> text;
    std::map<int64_t, AnswerFinished> answers;
    std::vector<TokenSampled> tokens;
    std::optional<RequestDone> done;
  };
  static EventSink Listen(Heard& heard) {
    return [&heard](RequestId, const Event& event) {
      if (const auto* token = std::get_if<TokenSampled>(&event)) {
        heard.sampled[token->choice].push_back(token->id);
        heard.tokens.push_back(*token);
      } else if (const auto* delta = std::get_if<AnswerDelta>(&event)) {
        heard.text[delta->choice] += delta->piece.text;
      } else if (const auto* finished = std::get_if<AnswerFinished>(&event)) {
        heard.answers[finished->choice] = *finished;
        EXPECT_EQ(heard.sampled[finished->choice], finished->ids);
      } else if (const auto* done = std::get_if<RequestDone>(&event)) {
        heard.done = *done;
      }
    };
  }
  static Heard Answer(Engine& engine, const Request& request) {
    Heard heard;
    const auto id = engine.Submit(request, Listen(heard));
    EXPECT_TRUE(id) << id.error().message;
    while (engine.Step()) {
    }
    EXPECT_TRUE(heard.done);
    return heard;
  }
  static Heard Answer(const Request& request) {
    TestEngine test;
    return Answer(test.engine, request);
  }
  static bool Matches(const GrammarPtr& grammar, const std::string& text) {
    Matcher matcher(grammar, TokenTrie::Build(NanoTokenizer()));
    return matcher.AcceptText(text) && matcher.CanEnd();
  }
};

TEST_F(ConstrainedTest, AnAnswerIsWhatItsGrammarSays) {
  const GrammarPtr grammar = ObjectGrammar();
  for (const double temperature : {0.0, 1.0, 3.0}) {
    Request request = Ask(kQuestion, grammar);
    request.sampling.temperature = temperature;
    request.choices = temperature == 0 ? 1 : 5;
    const Heard heard = Answer(request);
    for (const auto& [choice, text] : heard.text) {
      EXPECT_TRUE(Matches(grammar, text)) << text;
      EXPECT_EQ(heard.answers.at(choice).reason, FinishReason::kStop);
    }
    EXPECT_EQ(std::ssize(heard.text), request.choices);
  }
}

// Whatever of it is forced, the tokens are those of the free answer.
TEST_F(ConstrainedTest, AFreeAnswerThatTheGrammarAllowsKeepsItsTokens) {
  for (const std::string& question : std::vector<std::string>{
           kQuestion, "What is Fulmen?", "Please copy: lamp, river, 42, stone"}) {
    const Heard free = Answer(Ask(question, nullptr));
    ASSERT_EQ(free.answers.at(0).reason, FinishReason::kStop);
    const std::string text = free.text.at(0);
    const GrammarPtr literal = TextGrammar(text);
    const GrammarPtr anything =
        GrammarOf([](Grammar& grammar) { return grammar.Lexeme(Terms::kEverything); });
    // Half of it, and a choice of three ways to go on.
    const GrammarPtr half = GrammarOf([&](Grammar& grammar) {
      const size_t middle = text.size() / 2;
      return grammar.Sequence(
          {grammar.Literal(text.substr(0, middle)),
           grammar.Choice({grammar.Literal(text.substr(middle)),
                           grammar.Literal(text.substr(middle) + "."), grammar.Literal("zzz")})});
    });
    for (const GrammarPtr& grammar : {literal, anything, half}) {
      for (const bool logprobs : {false, true}) {
        TestEngine test;
        Request request = Ask(question, grammar);
        if (logprobs) request.top_logprobs = 2;
        const Heard held = Answer(test.engine, request);
        EXPECT_EQ(held.answers.at(0).ids, free.answers.at(0).ids) << text;
        EXPECT_EQ(held.answers.at(0).reason, FinishReason::kStop);
        EXPECT_EQ(held.text.at(0), text);
        EXPECT_EQ(held.done->usage.output_tokens, free.done->usage.output_tokens);
        if (grammar == literal && !logprobs) {
          EXPECT_LE(test.engine.stats().steps, 4) << "what must come is not waited for";
        }
        for (const TokenSampled& token : held.tokens) {
          EXPECT_EQ(token.logprob.has_value(), logprobs);
          EXPECT_EQ(token.top.size(), logprobs ? 2U : 0U);
        }
      }
    }
  }
}

// One token at a time or several, in any company, and with memory for only some of them.
TEST_F(ConstrainedTest, ForcedTokensChangeNoAnswer) {
  const GrammarPtr grammar = ObjectGrammar();
  std::vector<Request> requests;
  std::vector<std::vector<int32_t>> expected;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    Request request = Ask(seed % 2 == 0 ? kQuestion : "What is Fulmen?", grammar);
    request.sampling.temperature = 1.5;
    request.sampling.repetition_penalty = 1.1;
    request.sampling.frequency_penalty = 0.3;
    request.sampling.seed = seed;
    if (seed == 5) request.grammar = nullptr;
    requests.push_back(request);
    request.top_logprobs = 0;
    expected.push_back(Answer(request).answers.at(0).ids);
  }
  const StatePool pool(NanoModel().config);
  for (const int64_t slots : {2, 20}) {
    EngineOptions options;
    options.memory.most_slot_bytes = slots * pool.slot_bytes();
    options.scheduler.most_running = 5;
    TestEngine test(NanoModel(), &NanoTokenizer(), options);
    std::vector<Heard> heard(requests.size());
    for (size_t i = 0; i < requests.size(); ++i) {
      requests[i].priority = static_cast<int>(i % 3);
      ValueOrDie(test.engine.Submit(requests[i], Listen(heard[i])));
      test.engine.Step();
    }
    while (test.engine.Step()) {
    }
    for (size_t i = 0; i < requests.size(); ++i) EXPECT_EQ(heard[i].answers.at(0).ids, expected[i]);
  }
}

// What a grammar forces needs an allowance, too, and waiting for it changes no answer.
TEST_F(ConstrainedTest, ForcedTokensWaitForAnAllowance) {
  Request request = Ask(kQuestion, ObjectGrammar());
  request.sampling.temperature = 1.5;
  const std::vector<int32_t> expected = Answer(request).answers.at(0).ids;
  for (const int64_t each : {1, 3}) {
    TestEngine test;
    request.allowance = each;
    Heard heard;
    const RequestId id = ValueOrDie(test.engine.Submit(request, Listen(heard)));
    for (int64_t given = each; !heard.done; given += each) {
      while (test.engine.Step()) {
      }
      EXPECT_LE(std::ssize(heard.tokens), given);
      test.engine.Allow(id, each);
    }
    EXPECT_EQ(heard.answers.at(0).ids, expected);
  }
}

TEST_F(ConstrainedTest, EndsWhereTheGrammarMay) {
  // "a", "ab", "abb", …: a stop token may come after any of them.
  const GrammarPtr grammar = GrammarOf([](Grammar& of) {
    return of.Sequence({of.Literal("a"), of.Repeat(of.Literal("b"), 0, 10)});
  });
  Request request = Ask(kQuestion, grammar);
  request.sampling.logit_bias[request.stop_tokens[0]] = 100;
  EXPECT_EQ(Answer(request).answers.at(0).ids.size(), 1U);
  request.min_tokens = 3;
  EXPECT_EQ(Answer(request).answers.at(0).ids.size(), 3U);
  // min_tokens asks for more than there may be, and nothing else may come.
  request.min_tokens = 60;
  EXPECT_EQ(Answer(request).text.at(0), "abbbbbbbbbb");
  // Without stop tokens it goes on for as long as it may.
  request.min_tokens = 0;
  request.stop_tokens.clear();
  Heard heard = Answer(request);
  EXPECT_EQ(heard.text.at(0), "abbbbbbbbbb");
  EXPECT_EQ(heard.answers.at(0).reason, FinishReason::kStop);
  // The empty text.
  heard = Answer(Ask(kQuestion, TextGrammar("")));
  EXPECT_EQ(heard.answers.at(0).reason, FinishReason::kStop);
  EXPECT_EQ(heard.done->usage.output_tokens, 0);
}

TEST_F(ConstrainedTest, IsCutByLengthContextAndStopStrings) {
  const GrammarPtr grammar = TextGrammar("The answer to this question is forty-two, I think.");
  const std::vector<int32_t> whole = Answer(Ask(kQuestion, grammar)).answers.at(0).ids;
  for (int64_t most = 0; most <= std::ssize(whole) + 1; ++most) {
    const Heard heard = Answer(Ask(kQuestion, grammar, most));
    const auto size = std::min(most, std::ssize(whole));
    EXPECT_EQ(heard.answers.at(0).ids, std::vector<int32_t>(whole.begin(), whole.begin() + size));
    EXPECT_EQ(heard.answers.at(0).reason,
              most < std::ssize(whole) ? FinishReason::kLength : FinishReason::kStop);
    EXPECT_EQ(heard.done->usage.output_tokens, size);
  }
  Request request = Ask(kQuestion, grammar);
  request.stop_strings = {"question is"};
  const Heard stopped = Answer(request);
  EXPECT_EQ(stopped.text.at(0), "The answer to this ");
  EXPECT_EQ(stopped.answers.at(0).stop_string, "question is");

  Model model = testing::NanoVariant();
  for (int64_t room = 0; room < std::ssize(whole); ++room) {
    model.config.max_position = std::ssize(request.prompt) + room;
    TestEngine test(model);
    const Heard cut = Answer(test.engine, Ask(kQuestion, grammar));
    EXPECT_EQ(std::ssize(cut.answers.at(0).ids), room + 1);
    EXPECT_EQ(cut.answers.at(0).reason,
              room + 1 == std::ssize(whole) ? FinishReason::kStop : FinishReason::kContext);
  }
}

TEST_F(ConstrainedTest, WhatCannotGoOnFailsAlone) {
  TestEngine test;
  // A script that the grammar does not allow.
  Request scripted = Ask(kQuestion, ObjectGrammar());
  scripted.script = NanoTokenizer().Encode(R"({"place":5)", Tokenizer::Markers::kPlain);
  // A token that is needed is a stop token.
  Request stuck = Ask(kQuestion, TextGrammar("a"));
  stuck.stop_tokens.push_back(*NanoTokenizer().TokenId("a"));
  const Request good = Ask(kQuestion, ObjectGrammar());
  const std::vector<int32_t> alone = Answer(good).answers.at(0).ids;
  Heard heard[3];
  ValueOrDie(test.engine.Submit(scripted, Listen(heard[0])));
  ValueOrDie(test.engine.Submit(stuck, Listen(heard[1])));
  ValueOrDie(test.engine.Submit(good, Listen(heard[2])));
  while (test.engine.Step()) {
  }
  EXPECT_EQ(heard[0].answers.at(0).reason, FinishReason::kError);
  EXPECT_NE(heard[0].done->status.error().message.find("grammar does not allow"),
            std::string::npos);
  EXPECT_EQ(heard[1].answers.at(0).reason, FinishReason::kError);
  ASSERT_FALSE(heard[1].done->status);
  EXPECT_EQ(heard[2].answers.at(0).ids, alone);
  // One that it does allow is followed, and gone on from.
  scripted.script =
      NanoTokenizer().Encode(R"({"place":"Paris","kind_of)", Tokenizer::Markers::kPlain);
  const Heard followed = Answer(scripted);
  EXPECT_EQ(followed.text.at(0).substr(0, 34), R"({"place":"Paris","kind_of_place":")");
  EXPECT_TRUE(Matches(scripted.grammar, followed.text.at(0)));
  // An end that comes too early, in a script.
  scripted.script.push_back(scripted.stop_tokens[0]);
  EXPECT_EQ(Answer(scripted).done->status.error().message,
            "the answer cannot end here by its grammar");
}

TEST_F(ConstrainedTest, NeedsATokenizer) {
  TestEngine test(NanoModel(), nullptr);
  Heard heard;
  EXPECT_FALSE(test.engine.Submit(Ask(kQuestion, TextGrammar("a")), Listen(heard)));
}

// Of Text-01 the marker of calls is a special token, which no other text is spelled with.
TEST_F(ConstrainedTest, TheMarkerOfCallsIsItsToken) {
  const GrammarPtr grammar = TextGrammar("<function_call>```typescript\nfunctions.f({})\n```");
  Request request = Ask(kQuestion, grammar);
  request.format.calls = CallFormat::kText01;
  for (const bool logprobs : {false, true}) {
    if (logprobs) request.top_logprobs = 0;
    const Heard heard = Answer(request);
    EXPECT_EQ(heard.answers.at(0).ids.at(0), *NanoTokenizer().TokenId("<function_call>"));
    EXPECT_EQ(heard.answers.at(0).reason, FinishReason::kToolCalls);
    EXPECT_EQ(heard.answers.at(0).ids,
              NanoTokenizer().Encode("<function_call>```typescript\nfunctions.f({})\n```",
                                     Tokenizer::Markers::kParse));
  }
}

}  // namespace
}  // namespace fulmen
