// fulmen train data, as a user would run it.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "base/json.h"
#include "formats/checkpoint.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

namespace fs = std::filesystem;

const char* const kTokenizer = "tokenizer/small";  // without a chat template

class TrainData : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& contents) {
    EXPECT_TRUE(WriteFileAtomically(folder_ / name, contents));
    return folder_ / name;
  }

  // A hundred short stories with a line between them.
  std::string Stories() {
    std::string text;
    for (int i = 0; i < 100; ++i) {
      text += "The cat number " + std::to_string(i) + " sat on mat " + std::to_string(i * i) +
              " and said nothing.\nThen it went home.\n***\n";
    }
    return Write("stories.txt", text);
  }

  static std::vector<int32_t> Tokens(const std::string& dataset) {
    const auto shard = Checkpoint::Open(dataset + "/shard-00000.safetensors");
    if (!shard) return {};
    const TensorView& tokens = shard->tensors().at("tokens");
    const auto* data = reinterpret_cast<const int32_t*>(tokens.data);
    return {data, data + tokens.elements()};
  }

  std::set<std::string> Entries() const {
    std::set<std::string> entries;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) {
      entries.insert(entry.path().string());
    }
    return entries;
  }

  void ExpectRefusal(const std::vector<std::string>& more, const std::vector<std::string>& words) {
    const auto before = Entries();
    std::vector<std::string> arguments = {"train", "data", "--out", folder_ / "refused"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult result = RunFulmen(arguments);
    EXPECT_EQ(result.exit_code, 1) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_TRUE(result.err.starts_with("fulmen: ")) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    for (const std::string& word : words) {
      EXPECT_NE(result.err.find(word), std::string::npos)
          << "no \"" << word << "\" in: " << result.err;
    }
    EXPECT_EQ(Entries(), before);
  }

  TemporaryFolder folder_;
};

TEST_F(TrainData, TrainsATokenizerThatTheOtherCommandsRead) {
  const std::string out = folder_ / "data";
  const ProgramResult result =
      RunFulmen({"train", "data", Stories(), "--document-separator", "***", "--train-tokenizer",
                 "300", "--special", "<name>", "--chat-format", "text-01", "--out", out, "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  const auto report = ParseJson(result.out, "report");
  ASSERT_TRUE(report.has_value()) << result.out;
  EXPECT_EQ((*report)["train"]["documents"], 100);
  EXPECT_EQ((*report)["vocabulary"], 300);
  const std::vector<int32_t> tokens = Tokens(out);
  EXPECT_EQ((*report)["train"]["tokens"], tokens.size());

  std::string ids;
  for (const int32_t id : tokens) ids += std::to_string(id) + " ";
  const ProgramResult text = RunFulmen({"detokenize", "-m", out, "-f", Write("ids", ids)});
  ASSERT_EQ(text.exit_code, 0) << text.err;
  std::string expected = ReadFileOrDie(folder_ / "stories.txt");
  for (size_t at = 0; (at = expected.find("***\n", at)) != std::string::npos;) {
    expected.replace(at, 4, "<end_of_sentence>");
  }
  EXPECT_EQ(text.out, expected);

  const std::string chat =
      Write("chat.json", R"({"messages": [{"role": "user", "content": "A"}]})");
  const ProgramResult prompt = RunFulmen({"tokenize", "-m", out, "--chat", chat});
  EXPECT_EQ(prompt.exit_code, 0) << prompt.err;
  // Six special tokens of the family and ours are the last ids.
  EXPECT_TRUE(prompt.out.starts_with("293 ")) << prompt.out;
}

TEST_F(TrainData, SetsDocumentsApart) {
  const std::string model = GoldenFolder(kTokenizer);
  if (model.empty()) GTEST_SKIP() << "no golden " << kTokenizer;
  const std::string out = folder_ / "data";
  const ProgramResult result =
      RunFulmen({"train", "data", Stories(), "--document-separator", "***", "-m", model,
                 "--held-out", "0.3", "--shard-tokens", "1000", "--threads", "2", "--out", out});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find(out + "/train: "), std::string::npos) << result.out;
  EXPECT_NE(result.out.find(out + "/held-out: "), std::string::npos) << result.out;
  EXPECT_TRUE(fs::exists(out + "/train/shard-00001.safetensors"));
  EXPECT_TRUE(fs::exists(out + "/held-out/dataset.json"));
  EXPECT_FALSE(fs::exists(out + "/tokenizer.json"));
}

// One small file is many documents, so some can be held out without further options.
TEST_F(TrainData, OneTextFileIsCutAtBlankLines) {
  std::string text;
  for (int i = 0; i < 100; ++i) {
    text += fmt::format("Line {}\r\nand its other line.\r\n \r\n\r\n", i);
  }
  const std::string out = folder_ / "deep/er/data";
  const ProgramResult result =
      RunFulmen({"train", "data", Write("one.txt", text), "--held-out", "0.1", "--out", out});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("100 documents of text files, cut at blank lines"), std::string::npos)
      << result.out;
  EXPECT_TRUE(fs::exists(out + "/held-out/dataset.json"));
  const ProgramResult whole = RunFulmen({"train", "data", folder_ / "one.txt", "--documents",
                                         "files", "--json", "--out", folder_ / "whole"});
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  const auto report = ParseJson(whole.out, "report");
  ASSERT_TRUE(report.has_value()) << whole.out;
  EXPECT_EQ((*report)["train"]["documents"], 1);
  EXPECT_EQ((*report)["text_documents"], 1);
  EXPECT_EQ((*report)["chat_format"], nullptr);
}

TEST_F(TrainData, InterruptedItLeavesNothing) {
  std::string text;
  while (text.size() < 100'000'000) text += "More words than half a second is enough for.\n\n";
  const std::string input = Write("long.txt", text);
  const auto before = Entries();
  const ProgramResult result = RunProgram({"timeout", "--foreground", "--preserve-status", "-s",
                                           "INT", "0.5", FulmenBinary(), "train", "data", input,
                                           "--threads", "1", "--out", folder_ / "a/b"});
  EXPECT_EQ(result.exit_code, 130) << result.err;
  EXPECT_EQ(Entries(), before);
}

TEST_F(TrainData, BadInputIsRefused) {
  const std::string model = GoldenFolder(kTokenizer);
  if (model.empty()) GTEST_SKIP() << "no golden " << kTokenizer;
  const auto refuse = [&](const std::string& input, const std::vector<std::string>& words) {
    ExpectRefusal({input, "-m", model}, words);
  };
  refuse(Write("empty.txt", ""), {"empty.txt", "empty file"});
  refuse(Write("binary.txt", std::string("abc\0def", 7)), {"binary.txt", "NUL", "byte 3"});
  ExpectRefusal({Stories(), "-m", model, "--held-out", "0.1", "--documents", "files"},
                {"nothing is held out", "--document-separator"});
  refuse(Write("latin1.txt", "caf\xE9 x"), {"latin1.txt", "UTF-8", "byte 3"});
  refuse(Write("bad.jsonl", "{\"text\": \"a\"}\n{\"text\": }\n"), {"bad.jsonl:2", "JSON"});
  refuse(Write("key.jsonl", "{\"body\": \"a\"}\n"), {"key.jsonl:1", "'text'", "'body'"});
  refuse(folder_ / "nowhere", {"nowhere"});
  refuse(Write("chat.jsonl", R"({"messages": [{"role": "user", "content": "A"}]})"),
         {"chat.jsonl:1", "--chat-format"});
  const std::string stories = Stories();
  for (const char* separator : {"", "a\nb"}) {
    const ProgramResult usage = RunFulmen({"train", "data", stories, "-m", model, "--out",
                                           folder_ / "refused", "--document-separator", separator});
    EXPECT_EQ(usage.exit_code, 2);
    EXPECT_NE(usage.err.find("--document-separator should be a line that is not empty"),
              std::string::npos)
        << usage.err;
  }
  ExpectRefusal({stories, "-m", folder_ / "nowhere"}, {"nowhere"});
  ExpectRefusal({stories, "--train-tokenizer", "100000"}, {"too short"});
  fs::create_directory(folder_ / "there");
  const auto before = Entries();
  const ProgramResult result =
      RunFulmen({"train", "data", stories, "-m", model, "--out", folder_ / "there"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("there already"), std::string::npos) << result.err;
  EXPECT_EQ(Entries(), before);
}

}  // namespace
}  // namespace fulmen::testing
