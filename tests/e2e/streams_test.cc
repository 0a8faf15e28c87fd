// Standard output is data and standard error is talk: every command fails when its output is lost,
// ends quietly when nobody reads on, and minds nothing that happens to standard error.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

// An open descriptor.
class Descriptor {
 public:
  explicit Descriptor(int file) : file_(file) {}
  ~Descriptor() { close(file_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int operator*() const { return file_; }

  // Each write to it fails for want of room.
  static Descriptor Full() { return Descriptor(open("/dev/full", O_WRONLY | O_CLOEXEC)); }
  // A pipe that nobody reads.
  static Descriptor ClosedPipe() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) return Descriptor(-1);
    close(ends[0]);
    return Descriptor(ends[1]);
  }

 private:
  int file_;
};

// What `eval logits --out` leaves of things that are no regular files.
class Outputs : public ::testing::Test {
 protected:
  ProgramResult WriteLogits(const std::string& out, const ProgramOptions& options = {}) {
    return RunFulmen({"eval", "logits", "--tokens", folder_ / "ids.json", "--out", out}, options);
  }

  void SetUp() override { ASSERT_TRUE(WriteFileAtomically(folder_ / "ids.json", "[1, 2, 3]")); }

  TemporaryFolder folder_;
};

TEST_F(Outputs, SymbolicLinksStay) {
  std::filesystem::create_symlink("logits.safetensors", folder_ / "link");
  const ProgramResult result = WriteLogits(folder_ / "link");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(std::filesystem::is_symlink(folder_ / "link"));
  EXPECT_TRUE(std::filesystem::is_regular_file(folder_ / "logits.safetensors"));
}

TEST_F(Outputs, FifosAreWrittenInto) {
  const std::string fifo = folder_ / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const ProgramResult result =
      RunProgram({"sh", "-c", "cat \"$1\" & \"$0\" eval logits --tokens \"$2\" --out \"$1\"; wait",
                  FulmenBinary(), fifo, folder_ / "ids.json"});
  EXPECT_EQ(result.err, "");
  EXPECT_TRUE(std::filesystem::is_fifo(fifo));
  ASSERT_EQ(WriteLogits(folder_ / "logits.safetensors").exit_code, 0);
  EXPECT_EQ(result.out, ReadFileOrDie(folder_ / "logits.safetensors"));
}

TEST_F(Outputs, DashIsStandardOutput) {
  const ProgramResult result = WriteLogits("-");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  ASSERT_EQ(WriteLogits(folder_ / "logits.safetensors").exit_code, 0);
  EXPECT_EQ(result.out, ReadFileOrDie(folder_ / "logits.safetensors"));
  const Descriptor pipe = Descriptor::ClosedPipe();
  EXPECT_EQ(WriteLogits("-", {.out = *pipe}).exit_code, 141);
  const Descriptor full = Descriptor::Full();
  EXPECT_EQ(WriteLogits("-", {.out = *full}).exit_code, 1);
}

// A copy of /dev/null, which a mistake may destroy.
TEST_F(Outputs, DevicesStay) {
  const std::string null = folder_ / "null";
  if (mknod(null.c_str(), S_IFCHR | 0600, makedev(1, 3)) != 0 ||
      close(open(null.c_str(), O_WRONLY | O_CLOEXEC)) != 0) {
    GTEST_SKIP() << "only root can make devices, where it is allowed to";
  }
  const ProgramResult result = WriteLogits(null);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(std::filesystem::is_character_file(null));
}

// One way to call each command that prints something. FOLDER is a folder of the test's own.
struct Case {
  std::string name;
  std::vector<std::string> arguments;
  bool measures = false;  // takes seconds, so only what its output needs is tried
};

class Streams : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(WriteFileAtomically(folder_ / "ids.json", "[1, 2, 3]"));
    ASSERT_TRUE(WriteFileAtomically(folder_ / "text.txt", "Alice was beginning to get tired."));
    ASSERT_TRUE(WriteFileAtomically(folder_ / "batches.json", "{\"one\": [[[1, 2, 3]]]}"));
  }

  std::vector<std::string> Arguments() const {
    std::vector<std::string> arguments = GetParam().arguments;
    for (std::string& argument : arguments) {
      if (argument.starts_with("FOLDER/")) argument = folder_ / argument.substr(7);
    }
    return arguments;
  }

  // Runs the command with its standard output or error as the shell's `redirection` says.
  ProgramResult RunRedirected(const std::string& redirection) {
    std::vector<std::string> command{"sh", "-c", "exec \"$0\" \"$@\" " + redirection,
                                     FulmenBinary()};
    for (const std::string& argument : Arguments()) command.push_back(argument);
    return RunProgram(command);
  }

  TemporaryFolder folder_;
};

TEST_P(Streams, FullOutputIsAnError) {
  const Descriptor full = Descriptor::Full();
  const ProgramResult result = RunFulmen(Arguments(), {.out = *full});
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_NE(result.err.find("fulmen: cannot write to standard output: No space left on device\n"),
            std::string::npos)
      << result.err;
}

TEST_P(Streams, ClosedPipeEndsItQuietly) {
  const Descriptor pipe = Descriptor::ClosedPipe();
  const ProgramResult result = RunFulmen(Arguments(), {.out = *pipe});
  EXPECT_EQ(result.exit_code, 141) << result.signal << result.err;
  EXPECT_EQ(result.err.find("fulmen: "), std::string::npos) << result.err;
}

TEST_P(Streams, ClosedOutputIsAnError) {
  if (GetParam().measures) GTEST_SKIP();
  const ProgramResult result = RunRedirected(">&-");
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_NE(result.err.find("fulmen: cannot write to standard output: "), std::string::npos)
      << result.err;
}

TEST_P(Streams, StandardErrorMayBeFull) {
  if (GetParam().measures) GTEST_SKIP();
  const Descriptor full = Descriptor::Full();
  const ProgramResult result = RunFulmen(Arguments(), {.err = *full});
  EXPECT_EQ(result.exit_code, 0) << result.signal;
  EXPECT_NE(result.out, "");
}

TEST_P(Streams, StandardErrorMayBeAClosedPipe) {
  if (GetParam().measures) GTEST_SKIP();
  const Descriptor pipe = Descriptor::ClosedPipe();
  const ProgramResult result = RunFulmen(Arguments(), {.err = *pipe});
  EXPECT_EQ(result.exit_code, 0) << result.signal;
  EXPECT_NE(result.out, "");
}

TEST_P(Streams, StandardErrorMayBeClosed) {
  if (GetParam().measures) GTEST_SKIP();
  const ProgramResult result = RunRedirected("2>&-");
  EXPECT_EQ(result.exit_code, 0) << result.signal;
  EXPECT_NE(result.out, "");
}

INSTANTIATE_TEST_SUITE_P(
    Commands, Streams,
    ::testing::Values(
        Case{"help", {"--help"}}, Case{"version", {"--version"}},
        Case{"help_of_a_command", {"train", "data", "--help"}},
        Case{"run", {"run", "-p", "Alice", "-n", "2"}},
        Case{"run_json", {"run", "-p", "Alice", "-n", "2", "--json"}},
        Case{"run_chat", {"run", "--chat", "-p", "Alice", "-n", "2"}},
        Case{"inspect", {"inspect", SourcePath("models/fulmen-nano"), "--verify"}},
        Case{"tokenize", {"tokenize", "Alice"}}, Case{"detokenize", {"detokenize", "17"}},
        Case{"eval_generate", {"eval", "generate", "--tokens", "FOLDER/ids.json", "-n", "2"}},
        Case{"eval_perplexity", {"eval", "perplexity", "-f", "FOLDER/text.txt"}},
        Case{"convert", {"convert", SourcePath("models/fulmen-nano"), "FOLDER/nano.gguf"}},
        Case{"quantize",
             {"quantize", SourcePath("models/fulmen-nano"), "FOLDER/nano.gguf", "q4_k_m"}},
        Case{"synth", {"synth",      "FOLDER/model",
                       "--type",     "f32",
                       "--layers",   "1",
                       "--hidden",   "8",
                       "--heads",    "1",
                       "--kv-heads", "1",
                       "--head-dim", "8",
                       "--ffn",      "8",
                       "--experts",  "2",
                       "--top-k",    "1",
                       "--vocab",    "16",
                       "--force"}},
        Case{"bench", {"bench", "-p", "1", "-n", "1", "-r", "1"}, true},
        Case{"bench_peak", {"bench", "--peak"}, true},
        Case{"train_print_config", {"train", "--print-config"}},
        Case{"train_bench", {"train", "bench", "--length", "16", "--rows", "1", "-r", "1"}, true},
        Case{"train_gradients",
             {"train", "gradients", "--batches", "FOLDER/batches.json", "--out",
              "FOLDER/gradients.safetensors", "--steps", "1"}},
        Case{"train_data", {"train", "data", "FOLDER/text.txt", "--out", "FOLDER/data"}}),
    [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace fulmen::testing
