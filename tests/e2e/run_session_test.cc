// fulmen run --session: conversations that outlive the program, however it ends.
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "base/json.h"
#include "tests/testing/command_table.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

class RunSession : public ::testing::Test {
 protected:
  ProgramResult Run(const std::string& name, Words words, const ProgramOptions& options = {}) {
    words.insert(words.begin(), {"run", "--session", name, "--sessions", store_, "-q",
                                 "--temperature", "0", "-n", "30"});
    return RunFulmen(words, options);
  }
  Json Session(const std::string& name) {
    const ProgramResult shown =
        RunFulmen({"session", "show", name, "--json", "--sessions", store_});
    EXPECT_EQ(shown.exit_code, 0) << shown.err;
    return *ParseJson(shown.out, "session");
  }

  const TemporaryFolder folder_;
  const std::string store_ = folder_ / "sessions.db";
};

const Words kMessages = {"Hello", "My code is KX93PL.", "What is Fulmen?", "What is my code?"};

// As many programs give the answers that one gives.
TEST_F(RunSession, GoesOnWhereTheLastProgramEnded) {
  ProgramOptions typed;
  for (const std::string& message : kMessages) typed.input += message + "\n";
  const ProgramResult one =
      RunFulmen({"run", "--chat", "-q", "--temperature", "0", "-n", "30"}, typed);
  ASSERT_EQ(one.exit_code, 0) << one.err;
  std::string answers;
  for (const std::string& message : kMessages) {
    const ProgramResult each = Run("a", {message});
    ASSERT_EQ(each.exit_code, 0) << each.err;
    answers += each.out;
  }
  EXPECT_EQ(answers, one.out);
  EXPECT_EQ(Run("b", {"--chat"}, typed).out, one.out);
  EXPECT_EQ(Session("a")["messages"].size(), 2 * kMessages.size());
  EXPECT_EQ(Session("a")["messages"], Session("b")["messages"]);
}

TEST_F(RunSession, RefusesWhatItCannotGoOnWith) {
  ASSERT_EQ(Run("a", {"Hi", "--system", "Be brief."}).exit_code, 0);
  const auto refused = [this](const Words& words) {
    const ProgramResult result = Run("a", words);
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.out, "");
    return result.err;
  };
  EXPECT_NE(refused({"Hi", "--chat-format", "m1"}).find("has the chat format text-01"),
            std::string::npos);
  EXPECT_NE(refused({"Hi", "--system", "Be long."}).find("began with another system text"),
            std::string::npos);
  const std::string other = folder_ / "other";
  ASSERT_EQ(RunFulmen({"synth",      other, "--layers", "2",   "--softmax-every", "2",
                       "--hidden",   "32",  "--heads",  "2",   "--kv-heads",      "1",
                       "--head-dim", "16",  "--ffn",    "32",  "--experts",       "2",
                       "--top-k",    "1",   "--vocab",  "512", "--type",          "f32"})
                .exit_code,
            0);
  EXPECT_NE(refused({"Hi", "-m", other, "--chat-format", "text-01"}).find("with another model"),
            std::string::npos);
  EXPECT_EQ(Run("", {"Hi"}).exit_code, 1);
  EXPECT_EQ(Session("a")["messages"].size(), 2U);
  // The system text it began with stays.
  EXPECT_EQ(Run("a", {"Hi"}).exit_code, 0);
  EXPECT_EQ(Session("a")["system"], "Be brief.");
}

// Killed at any moment, what was answered is kept, and the next answer is the one that was due.
TEST_F(RunSession, KillingLosesNothingThatWasAnswered) {
  std::vector<std::string> due;
  for (int i = 0; i < 3; ++i) due.push_back(Run("whole", {"Hello"}).out);
  std::mt19937 random(1);
  size_t answered = 0;
  int killed = 0;
  for (int round = 0;; ++round) {
    ASSERT_LT(round, 300);
    ProgramOptions options;
    // Longer each time, so that it gets there in the end on any machine.
    options.timeout = std::chrono::milliseconds(1 + random() % (20 + 4 * round));
    const ProgramResult result = Run("cut", {"Hello"}, options);
    const size_t turns =
        RunFulmen({"session", "list", "--sessions", store_}).out.find(" cut\n") == std::string::npos
            ? 0
            : Session("cut")["messages"].size() / 2;
    killed += result.timed_out ? 1 : 0;
    EXPECT_GE(turns, answered + (result.timed_out ? 0 : 1));
    EXPECT_LE(turns, answered + 1);
    if (!result.timed_out) {
      EXPECT_EQ(result.out, due[answered]);
    }
    answered = turns;
    if (answered >= due.size()) {
      EXPECT_EQ(RunFulmen({"session", "rm", "cut", "--sessions", store_}).exit_code, 0);
      answered = 0;
      if (round >= 30) break;
    }
  }
  EXPECT_GT(killed, 5);
}

}  // namespace
}  // namespace fulmen::testing
