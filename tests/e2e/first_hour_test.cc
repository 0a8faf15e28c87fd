// A newcomer's way from a text to a model that talks, as docs/training.md tells it.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/file_io.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"

namespace fulmen::testing {
namespace {

namespace fs = std::filesystem;

class FirstHour : public ::testing::Test {
 protected:
  // As typed in a shell in folder_ where the fulmen of this build is the one found.
  ProgramResult Shell(const std::string& script, const std::string& input = "") const {
    const std::string bin = fs::path(FulmenBinary()).parent_path().string();
    return RunProgram({"sh", "-e", "-c", "PATH='" + bin + "':$PATH\n" + script},
                      {.input = input, .folder = folder_.path()});
  }

  // The commands of the page, with fewer steps.
  static std::string Documented() {
    std::string page = ReadFileOrDie(SourcePath("docs/training.md"));
    const size_t begin = page.find("```sh\n") + 6;
    std::string script = page.substr(begin, page.find("```\n", begin) - begin);
    for (const auto& [from, to] : {std::pair("steps = 300", "steps = 4"),
                                   std::pair("warmup_steps = 30", "warmup_steps = 2")}) {
      const size_t at = script.find(from);
      EXPECT_NE(at, std::string::npos) << from;
      if (at != std::string::npos) script.replace(at, std::string(from).size(), to);
    }
    return script;
  }

  // What the end of training says to type.
  static std::string TalkCommand(const std::string& err) {
    const std::string start = "\ntry it: ";
    const size_t at = err.find(start);
    EXPECT_NE(at, std::string::npos) << err;
    if (at == std::string::npos) return "false";
    const size_t begin = at + start.size();
    return err.substr(begin, err.find('\n', begin) - begin);
  }

  void WriteBook() {
    std::string book;
    for (const char* page : {"docs/training.md", "docs/training-data.md", "docs/architecture.md"}) {
      book += ReadFileOrDie(SourcePath(page)) + "\n";
    }
    ASSERT_TRUE(WriteFileAtomically(folder_ / "book.txt", book));
  }

  TemporaryFolder folder_;
};

TEST_F(FirstHour, ThePageCanBeTypedLineByLine) {
  WriteBook();
  const ProgramResult run = Shell(Documented());
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_NE(run.out.find("data/book/held-out: "), std::string::npos) << run.out;
  EXPECT_NE(run.out.find("at blank lines"), std::string::npos) << run.out;
  EXPECT_EQ(TalkCommand(run.err), "fulmen run -m runs/book/model -p \"The\"");
  for (const char* file : {"model/config.json", "report.html", "metrics.jsonl"}) {
    EXPECT_TRUE(fs::exists(folder_ / (std::string("runs/book/") + file))) << file;
  }
  const ProgramResult talk = Shell(TalkCommand(run.err) + " -n 4");
  EXPECT_EQ(talk.exit_code, 0) << talk.err;
  const auto tokenizer = Tokenizer::Load(folder_ / "runs/book/model");
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->chat_template(), "") << "it was trained on plain text";

  // Then chats in the words of that tokenizer: the model answers in turns.
  std::string chats;
  for (int i = 0; i < 40; ++i) {
    chats += R"({"messages": [{"role": "user", "content": "How many?"}, )"
             R"({"role": "assistant", "content": ")" +
             std::to_string(i) + "\"}]}\n";
  }
  ASSERT_TRUE(WriteFileAtomically(folder_ / "chats.jsonl", chats));
  const ProgramResult chat_run = Shell(
      "fulmen train data chats.jsonl -m data/book --chat-format m1 --out data/chats\n"
      "fulmen train run.toml --out \"runs/it's a chat\" --stages.main.sources "
      "'[{path = \"data/book/train\"}, {path = \"data/chats\"}]'\n");
  ASSERT_EQ(chat_run.exit_code, 0) << chat_run.err;
  EXPECT_NE(chat_run.out.find("chats in the format m1"), std::string::npos) << chat_run.out;
  const std::string command = TalkCommand(chat_run.err);
  EXPECT_EQ(command, R"(fulmen run -m 'runs/it'\''s a chat/model' --chat)");
  const ProgramResult answer = Shell(command + " -n 4", "How many?\n");
  EXPECT_EQ(answer.exit_code, 0) << answer.err;
  const auto chat = Tokenizer::Load(folder_ / "runs/it's a chat/model");
  ASSERT_TRUE(chat.has_value()) << chat.error().message;
  EXPECT_EQ(*DetectChatFormat(chat->chat_template()), ChatFormat::kM1);
}

TEST_F(FirstHour, AMisspeltFieldIsToldTheNearest) {
  ASSERT_TRUE(WriteFileAtomically(folder_ / "run.toml", "[model]\nhiden_size = 8\n"));
  const ProgramResult run = Shell("fulmen train run.toml");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_NE(run.err.find("run.toml:2"), std::string::npos) << run.err;
  EXPECT_NE(run.err.find("hidden_size"), std::string::npos) << run.err;
}

}  // namespace
}  // namespace fulmen::testing
