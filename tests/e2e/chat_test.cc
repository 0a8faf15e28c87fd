// Chat as a user at a terminal, or a script, would have it.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "base/json.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"
#include "tests/testing/terminal.h"

namespace fulmen::testing {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUp = "\x1b[A";
constexpr const char* kCtrlA = "\x01";
constexpr const char* kCtrlC = "\x03";
constexpr const char* kCtrlD = "\x04";
constexpr const char* kCtrlZ = "\x1a";
constexpr const char* kPasteOn = "\x1b[?2004h";
constexpr const char* kPasteOff = "\x1b[?2004l";

std::string Paste(const std::string& text) { return "\x1b[200~" + text + "\x1b[201~"; }

class Chat : public ::testing::Test {
 protected:
  // As in a bare container: no locale at all.
  TerminalOptions Options(const std::string& term = "xterm") const {
    return {.environment = {"TERM=" + term, "HOME=" + folder_.path()}};
  }
  // A chat of short answers that says when each has ended.
  static std::vector<std::string> Command() {
    return {FulmenBinary(), "run", "--chat", "--temperature", "0", "-n", "4", "--verbose"};
  }
  // One whose answers have no end within the life of a test.
  static std::vector<std::string> EndlessCommand() {
    std::vector<std::string> command = Command();
    command[6] = "1000000";
    command.emplace_back("--ignore-eos");
    return command;
  }
  static void WaitForPrompt(Terminal& terminal) {
    terminal.WaitFor(kPasteOn);
    terminal.WaitFor("> ");
  }
  // Types a turn and waits for the prompt behind its answer.
  static void Say(Terminal& terminal, const std::string& keys) {
    terminal.Type(keys + "\r");
    terminal.WaitFor("[prompt:");
    WaitForPrompt(terminal);
  }
  static void Leave(Terminal& terminal) {
    terminal.Type(kCtrlD);
    EXPECT_EQ(terminal.WaitForEnd(), 0);
    EXPECT_EQ(terminal.shown().rfind(kPasteOn) < terminal.shown().rfind(kPasteOff), true);
  }
  std::string HistoryPath() const { return folder_ / ".local/state/fulmen/chat_history.jsonl"; }
  std::vector<std::string> History() const {
    std::vector<std::string> turns;
    std::string rest = ReadFileOrDie(HistoryPath());
    for (size_t end = rest.find('\n'); end != std::string::npos; end = rest.find('\n')) {
      turns.push_back(ParseJson(rest.substr(0, end), "a turn")->get<std::string>());
      rest.erase(0, end + 1);
    }
    return turns;
  }

  TemporaryFolder folder_;
};

TEST_F(Chat, Utf8IsTypedAndEditedWithoutALocale) {
  Terminal terminal(Command(), Options());
  WaitForPrompt(terminal);
  Say(terminal, "cafés\x7f\x7fé");
  Say(terminal, "你好\x7f好");
  Leave(terminal);
  EXPECT_EQ(History(), (std::vector<std::string>{"café", "你好"}));
}

TEST_F(Chat, LongLinesOfWideCharactersWrapAndCanBeEdited) {
  TerminalOptions options = Options();
  options.columns = 40;
  options.rows = 10;
  Terminal terminal(Command(), options);
  WaitForPrompt(terminal);
  std::string text = "x";  // wide characters now begin at odd columns, and the last does not fit
  for (int i = 0; i < 50; ++i) text += "你";
  terminal.Type(text);
  terminal.Resize(10, 30);
  Say(terminal, std::string(kCtrlA) + "y");
  Leave(terminal);
  EXPECT_EQ(History(), std::vector<std::string>{"y" + text});
}

TEST_F(Chat, APasteIsOneTurn) {
  Terminal terminal(Command(), Options());
  WaitForPrompt(terminal);
  Say(terminal, "Read: " + Paste("one\rtwo\r\n\tthree\\\n") + "!");
  Leave(terminal);
  EXPECT_EQ(History(), std::vector<std::string>{"Read: one\ntwo\n\tthree\\!"});
}

TEST_F(Chat, ABlockIsOneTurn) {
  Terminal terminal(Command(), Options());
  WaitForPrompt(terminal);
  terminal.Type("\"\"\"\r");
  terminal.Type("/exit\r");
  Say(terminal, "What is Fulmen?\"\"\"");
  terminal.Type("What is\\\r");
  Say(terminal, "Fulmen?");
  terminal.Type("\"\"\"\r\r\r");
  terminal.Type("\"\"\"\r");  // says nothing
  WaitForPrompt(terminal);
  Leave(terminal);
  EXPECT_EQ(History(), (std::vector<std::string>{"\"\"\"\n/exit\nWhat is Fulmen?\"\"\"",
                                                 "What is\nFulmen?", "\"\"\"\n\n\n\"\"\""}));
}

TEST_F(Chat, HistoryKeepsTurnsWholeBetweenSessions) {
  {
    Terminal terminal(Command(), Options());
    WaitForPrompt(terminal);
    Say(terminal, Paste("one\rtwo"));
    Say(terminal, "three");
    Leave(terminal);
  }
  struct stat file = {};
  ASSERT_EQ(stat(HistoryPath().c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600U);
  Terminal terminal(Command(), Options());
  WaitForPrompt(terminal);
  terminal.Type(kUp);
  terminal.WaitFor("three");
  terminal.Type(kUp);
  terminal.WaitFor("two");
  Say(terminal, "!");
  Leave(terminal);
  EXPECT_EQ(History(), (std::vector<std::string>{"one\ntwo", "three", "one\ntwo!"}));
}

TEST_F(Chat, HistoryIsBounded) {
  fs::create_directories(fs::path(HistoryPath()).parent_path());
  std::string lines;
  for (int i = 0; i < 1500; ++i) lines += "\"turn " + std::to_string(i) + "\"\n";
  ASSERT_TRUE(WriteFileAtomically(HistoryPath(), "not JSON\n" + lines));
  Terminal terminal(Command(), Options());
  WaitForPrompt(terminal);
  terminal.Type(kUp);
  terminal.WaitFor("turn 1499");
  Say(terminal, "!");
  Leave(terminal);
  const std::vector<std::string> turns = History();
  ASSERT_EQ(turns.size(), 1001U);
  EXPECT_EQ(turns.front(), "turn 500");
  EXPECT_EQ(turns.back(), "turn 1499!");
}

TEST_F(Chat, WithoutAPlaceForItThereIsNoHistory) {
  TerminalOptions options = Options();
  options.environment.back() = "HOME=/dev/null";
  Terminal terminal(Command(), options);
  WaitForPrompt(terminal);
  Say(terminal, "one");
  terminal.Type(kUp);
  Say(terminal, "!");
  Leave(terminal);
  EXPECT_EQ(terminal.shown().find("/dev/null"), std::string::npos) << terminal.shown();
}

TEST_F(Chat, CtrlCClearsALineAndLeavesFromAnEmptyOne) {
  Terminal terminal(Command(), Options());
  WaitForPrompt(terminal);
  terminal.Type("half a line");
  terminal.WaitFor("half a line");
  terminal.Type(kCtrlC);
  terminal.WaitFor("^C");
  WaitForPrompt(terminal);
  Say(terminal, "one");
  terminal.Type(kCtrlC);
  EXPECT_EQ(terminal.WaitForEnd(), 0);
  EXPECT_EQ(History(), std::vector<std::string>{"one"});
}

TEST_F(Chat, CtrlCStopsAnAnswer) {
  Terminal terminal(EndlessCommand(), Options());
  WaitForPrompt(terminal);
  terminal.Type("What is Fulmen?\r");
  terminal.WaitFor("Fulmen is");
  terminal.Type(kCtrlC);
  terminal.WaitFor("cancelled");
  WaitForPrompt(terminal);
  Leave(terminal);
}

// The answer soon fills a terminal that nobody looks at, so that the signal meets a write.
TEST_F(Chat, AnAnswerThatTheTerminalHoldsUpIsStoppedAndNotLost) {
  Terminal terminal(EndlessCommand(), Options());
  WaitForPrompt(terminal);
  terminal.Type("What is Fulmen?\r");
  usleep(200'000);
  terminal.Signal(SIGINT);
  usleep(10'000);
  terminal.WaitFor("cancelled");
  WaitForPrompt(terminal);
  Leave(terminal);
}

TEST_F(Chat, OtherSignalsDuringAnAnswerEndTheChat) {
  for (const int signal : {SIGTERM, SIGHUP}) {
    Terminal terminal(EndlessCommand(), Options());
    WaitForPrompt(terminal);
    terminal.Type("What is Fulmen?\r");
    terminal.WaitFor("Fulmen is");
    terminal.Signal(signal);
    EXPECT_EQ(terminal.WaitForEnd(), 128 + signal);
    EXPECT_TRUE(terminal.shown().ends_with("\r\n")) << terminal.shown();
  }
}

TEST_F(Chat, CtrlZAndFgBringThePromptBack) {
  TerminalOptions options = Options();
  options.environment.emplace_back("PS1=shell: ");
  Terminal terminal({"bash", "--norc", "--noprofile", "--noediting", "-i"}, options);
  terminal.WaitFor("shell: ");
  std::string command;
  for (const std::string& word : Command()) command += word + " ";
  terminal.Type(command + "\n");
  WaitForPrompt(terminal);
  terminal.Type("one tw");
  terminal.WaitFor("one tw");
  terminal.Type(kCtrlZ);
  terminal.WaitFor(kPasteOff);
  terminal.WaitFor("Stopped");
  terminal.WaitFor("shell: ");
  terminal.Type("fg\n");
  WaitForPrompt(terminal);
  terminal.WaitFor("one tw");
  Say(terminal, "o");
  terminal.Type(kCtrlD);
  terminal.WaitFor("shell: ");
  terminal.Type("exit\n");
  terminal.WaitForEnd();
  EXPECT_EQ(History(), std::vector<std::string>{"one two"});
}

TEST_F(Chat, APromptThatWasStoppedFromOutsideIsDrawnAnew) {
  Terminal terminal(Command(), Options());
  WaitForPrompt(terminal);
  terminal.Type("one");
  terminal.WaitFor("one");
  terminal.Signal(SIGSTOP);
  terminal.Signal(SIGCONT);
  WaitForPrompt(terminal);
  terminal.WaitFor("one");
  Say(terminal, "!");
  Leave(terminal);
  EXPECT_EQ(History(), std::vector<std::string>{"one!"});
}

TEST_F(Chat, ASignalAtThePromptRestoresTheTerminal) {
  Terminal terminal(Command(), Options());
  WaitForPrompt(terminal);
  terminal.Type("half");
  terminal.WaitFor("half");
  terminal.Signal(SIGTERM);
  terminal.WaitFor(kPasteOff);
  EXPECT_EQ(terminal.WaitForEnd(), 128 + SIGTERM);
}

TEST_F(Chat, AnUnknownCommandIsAnsweredWithTheList) {
  Terminal terminal(Command(), Options());
  WaitForPrompt(terminal);
  terminal.Type("/fly\r");
  EXPECT_NE(terminal.WaitFor("/clear").find("no such command"), std::string::npos);
  WaitForPrompt(terminal);
  terminal.Type("   \r");  // a blank line is nothing
  WaitForPrompt(terminal);
  terminal.Type("/clear\r");
  WaitForPrompt(terminal);
  terminal.Type("/exit\r");
  EXPECT_EQ(terminal.WaitForEnd(), 0);
  EXPECT_EQ(terminal.shown().find("[prompt:"), std::string::npos) << terminal.shown();
}

TEST_F(Chat, ATerminalThatCannotMoveItsCursorGetsNoEscapes) {
  Terminal terminal(Command(), Options("dumb"));
  terminal.WaitFor("> ");
  terminal.Type("café\r");
  terminal.WaitFor("[prompt:");
  terminal.WaitFor("> ");
  terminal.Type(std::string("half") + kCtrlC);
  terminal.WaitFor("> ");
  terminal.Type(kCtrlC);
  EXPECT_EQ(terminal.WaitForEnd(), 0);
  EXPECT_EQ(terminal.shown().find('\x1b'), std::string::npos) << terminal.shown();
}

TEST_F(Chat, ControlCharactersAreShownOnATerminalAndRawInAPipe) {
  // A bias that outweighs all else makes the model say the byte of ESC.
  const Result<Json> ids =
      ParseJson(RunFulmen({"tokenize", "--json"}, {.input = "\x1b"}).out, "standard output");
  ASSERT_TRUE(ids && ids->size() == 1);
  const std::vector<std::string> arguments = {FulmenBinary(),
                                              "run",
                                              "--raw",
                                              "-p",
                                              "x",
                                              "-n",
                                              "2",
                                              "--temperature",
                                              "0",
                                              "--logit-bias",
                                              ids->front().dump() + "=100"};
  EXPECT_EQ(RunProgram(arguments).out, "\x1b\x1b\n");
  Terminal terminal(arguments, Options());
  EXPECT_EQ(terminal.WaitForEnd(), 0);
  EXPECT_EQ(terminal.shown(), "\\x1b\\x1b\r\n");
}

TEST_F(Chat, PipedTurnsAreAnsweredInTurn) {
  const ProgramResult result = RunProgram(
      Command(),
      {.input = "one\n\n  \n\"\"\"\ntwo\n\"\"\"\nthree\\\nfour\n/clear\n/fly\nfive without end"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  size_t answers = 0;
  for (size_t at = 0; (at = result.err.find("[prompt:", at)) != std::string::npos; ++at) ++answers;
  EXPECT_EQ(answers, 4U) << result.err;
  EXPECT_NE(result.err.find("There is no such command"), std::string::npos) << result.err;
}

TEST_F(Chat, APipedChatStopsAtTheFirstInterrupt) {
  const ProgramResult answering =
      RunProgram(EndlessCommand(),
                 {.input = "What is Fulmen?\nAnd then?\n", .interrupt_after = {"Fulmen is"}});
  EXPECT_EQ(answering.exit_code, 130) << answering.err;
  EXPECT_EQ(answering.err.find("[prompt:"), answering.err.rfind("[prompt:")) << answering.err;
  // The second marker never comes, so the input stays open.
  const ProgramResult reading = RunProgram(
      Command(), {.input = "What is Fulmen?\n", .interrupt_after = {"[prompt:", "nothing"}});
  EXPECT_EQ(reading.exit_code, 130) << reading.err;
}

TEST(Run, PrintsTheAnswerAloneUnlessAskedForMore) {
  const std::vector<std::string> arguments = {"run", "-p", "What is Fulmen?", "-n", "4"};
  const ProgramResult plain = RunFulmen(arguments);
  EXPECT_EQ(plain.exit_code, 0);
  EXPECT_NE(plain.out, "");
  EXPECT_EQ(plain.err, "");
  std::vector<std::string> verbose = arguments;
  verbose.emplace_back("--verbose");
  EXPECT_NE(RunFulmen(verbose).err.find("[prompt:"), std::string::npos);
}

TEST(Run, JsonIsOneLineUnlessPretty) {
  std::vector<std::string> arguments = {"run", "-p", "What is Fulmen?", "-n", "4", "--json"};
  const ProgramResult line = RunFulmen(arguments);
  ASSERT_EQ(line.exit_code, 0) << line.err;
  EXPECT_EQ(line.out.find('\n'), line.out.size() - 1);
  const Result<Json> answer = ParseJson(line.out, "standard output");
  ASSERT_TRUE(answer);
  EXPECT_EQ((*answer)["ids"].size(), 4U);
  arguments.emplace_back("--pretty");
  EXPECT_NE(RunFulmen(arguments).out.find("\n  \"ids\""), std::string::npos);
  arguments.erase(arguments.end() - 2);
  const ProgramResult without_json = RunFulmen(arguments);
  EXPECT_NE(without_json.exit_code, 0);
  EXPECT_EQ(without_json.out, "");
}

}  // namespace
}  // namespace fulmen::testing
