// fulmen pull, and the commands that then find the model.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "base/json.h"
#include "fetch/testing/local_host.h"
#include "tests/testing/command_table.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

namespace fs = std::filesystem;
using Files = std::map<std::string, std::string>;

class PullCommand : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { host = new LocalHost(); }
  static void TearDownTestSuite() { delete host; }
  void SetUp() override { host->Reset(); }

  Words Line(Words words) const {
    words.insert(words.begin(), {"env", "HF_ENDPOINT=" + host->address(),
                                 "FULMEN_MODELS=" + models_, FulmenBinary()});
    return words;
  }
  ProgramResult Run(const Words& words, const ProgramOptions& options = {}) const {
    return RunProgram(Line(words), options);
  }
  // What it prints; it succeeds.
  std::string Out(const Words& words) const {
    const ProgramResult result = Run(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }
  void ExpectError(const Words& words, const std::string& sentence) const {
    const ProgramResult result = Run(words);
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err, "fulmen: " + sentence + "\n");
  }
  // Serves a golden model under the name acme/tiny.
  static void ServeModel() {
    for (const auto& [name, text] : FilesIn(SourcePath("tests/golden/text/hybrid-bf16"))) {
      host->Serve("acme/tiny/main/" + name, text);
    }
  }
  // Serves large files of random bytes under the name acme/large.
  static Files ServeLarge(int count, size_t size) {
    Files files = {{"config.json", "{}"}};
    for (int i = 1; i <= count; ++i) {
      files[fmt::format("model-0000{}-of-0000{}.safetensors", i, count)] =
          RandomBytes(size, static_cast<uint64_t>(i));
    }
    for (const auto& [name, text] : files) host->Serve("acme/large/main/" + name, text);
    return files;
  }

  static LocalHost* host;
  const TemporaryFolder folder_;
  const std::string models_ = folder_ / "models";
};

LocalHost* PullCommand::host = nullptr;

TEST_F(PullCommand, EveryCommandFindsWhatWasPulled) {
  ServeModel();
  const std::string model = SourcePath("tests/golden/text/hybrid-bf16");
  ExpectError(
      {"tokenize", "-m", "acme/tiny", "Hi"},
      "acme/tiny: expected a model folder (config.json, safetensors and tokenizer files) or "
      "a .gguf file, found nothing; if it is the name of a model, `fulmen pull acme/tiny` "
      "fetches it");
  const ProgramResult pulled = Run({"pull", "acme/tiny"});
  EXPECT_EQ(pulled.exit_code, 0) << pulled.err;
  EXPECT_EQ(pulled.out, models_ + "/acme/tiny\n");
  EXPECT_NE(pulled.err.find(" fetched, as of commit "), std::string::npos) << pulled.err;
  const ProgramResult again = Run({"pull", "acme/tiny"});
  EXPECT_EQ(again.out, pulled.out);
  EXPECT_NE(again.err.find(" there already, as of commit "), std::string::npos) << again.err;
  EXPECT_EQ(Run({"pull", "acme/tiny", "-q"}).err, "");

  for (const Words& words : std::vector<Words>{
           {"run", "-m", "MODEL", "Hi", "-n", "4", "--temperature", "0", "--ignore-eos", "-q"},
           {"tokenize", "-m", "MODEL", "Hello"},
           {"inspect", "MODEL", "--tensors"}}) {
    Words by_name = words;
    Words by_path = words;
    std::ranges::replace(by_name, std::string("MODEL"), std::string("acme/tiny"));
    std::ranges::replace(by_path, std::string("MODEL"), model);
    EXPECT_EQ(Out(by_name), Out(by_path));
  }
  ASSERT_TRUE(WriteFileAtomically(folder_ / "text", "Once upon a time there was a door."));
  EXPECT_NE(Out({"eval", "perplexity", "-f", folder_ / "text", "-m", "acme/tiny", "--against",
                 "acme/tiny"}),
            "");
  EXPECT_NE(Out({"quantize", "acme/tiny", folder_ / "q.gguf", "q8_0"}), "");
  // A folder of that name comes first.
  fs::create_directories(folder_ / "acme/tiny");
  EXPECT_EQ(Run({"inspect", "-m", "acme/tiny"}, {.folder = folder_.path()}).exit_code, 1);
}

TEST_F(PullCommand, GgufModelsByTheirFiles) {
  const std::string text = ReadFileOrDie(SourcePath("tests/golden/gguf/wide/wide-q4_k_m.gguf"));
  host->Serve("acme/gguf/main/wide-q4_k_m.gguf", text);
  host->Serve("acme/gguf/main/q8/wide-q8_0.gguf", "not this one");
  ExpectError({"pull", "acme/gguf"},
              "acme/gguf has 2 GGUF models, of which one should be named (acme/gguf:FILE): "
              "q8/wide-q8_0.gguf, wide-q4_k_m.gguf");
  const std::string path = models_ + "/acme/gguf/wide-q4_k_m.gguf";
  EXPECT_EQ(Out({"pull", "acme/gguf:*q4*", "-q"}), path + "\n");
  const std::string ids = Out({"tokenize", "-m", path, "Hi"});
  for (const char* name : {"acme/gguf", "acme/gguf:wide-q4_k_m.gguf", "acme/gguf:*q4*"}) {
    EXPECT_EQ(Out({"tokenize", "-m", name, "Hi"}), ids) << name;
  }
  ExpectError({"tokenize", "-m", "acme/gguf:q8/wide-q8_0.gguf", "Hi"},
              models_ +
                  "/acme/gguf has no q8/wide-q8_0.gguf (`fulmen pull "
                  "acme/gguf:q8/wide-q8_0.gguf` fetches what is missing)");
  Out({"pull", "acme/gguf:q8/*", "-q"});
  ExpectError({"tokenize", "-m", "acme/gguf", "Hi"},
              models_ +
                  "/acme/gguf has 2 models, of which one should be named (acme/gguf:FILE): "
                  "q8/wide-q8_0.gguf, wide-q4_k_m.gguf (`fulmen pull acme/gguf` fetches what "
                  "is missing)");
}

TEST_F(PullCommand, TellsWhatItWouldFetch) {
  host->Serve("acme/tiny/main/config.json", "{}");
  host->Serve("acme/tiny/main/model.safetensors", std::string(1500, 'x'));
  EXPECT_EQ(Out({"pull", "acme/tiny", "--dry-run"}),
            "      2 B  missing  config.json\n"
            "   1.5 kB  missing  model.safetensors\n"
            "   1.5 kB  of 1.5 kB to fetch into " +
                models_ + "/acme/tiny\n");
  EXPECT_FALSE(fs::exists(models_));
  EXPECT_NE(Out({"pull", "acme/tiny:config.json"}), "");
  const Json json = *ParseJson(Out({"pull", "acme/tiny", "--dry-run", "--json"}), "json");
  EXPECT_EQ(json["model"], "acme/tiny");
  EXPECT_EQ(json["bytes"], 1502);
  EXPECT_EQ(json["missing_bytes"], 1500);
  EXPECT_EQ(json["folder"], models_ + "/acme/tiny");
  EXPECT_EQ(json["files"][0].dump(),
            R"({"path":"config.json","size":2,)"
            R"("checksum":"git-blob:9e26dfeeb6e641a33dae4961196235bdb965b21b","was_there":true})");
  EXPECT_EQ(json["files"][1]["was_there"], false);
}

TEST_F(PullCommand, TokensStayUnsaid) {
  host->Serve("acme/gated/main/config.json", "{}");
  host->Serve("acme/gated/main/model.safetensors", "weights");
  host->Gate("acme/gated", "hf_secret");
  const Words line = Line({"pull", "acme/gated"});
  const auto with = [&](const std::string& token) {
    Words words = line;
    words.insert(words.begin() + 1, "HF_TOKEN=" + token);
    return RunProgram(words);
  };
  const ProgramResult wrong = with("hf_other");
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_EQ(wrong.err, fmt::format("fulmen: acme/gated is gated: accept its terms at "
                                   "{}/acme/gated, and use a token of the account that did (this "
                                   "one has no access)\n",
                                   host->address()));
  EXPECT_EQ(with("hf_secret\n").exit_code, 0);
  ASSERT_TRUE(WriteFileAtomically(folder_ / "token", "\n"));
  ExpectError({"pull", "acme/gated", "--token-file", folder_ / "token"},
              (folder_ / "token") + ": expected a token, found nothing");
}

// Bytes that the journals of files under way name.
int64_t JournalledBytes(const std::string& folder) {
  int64_t bytes = 0;
  std::error_code ended;  // files go away while they are looked at
  for (fs::recursive_directory_iterator it(folder + "/.fulmen-pull", ended), end;
       !ended && it != end; it.increment(ended)) {
    if (it->path().extension() != ".ranges") continue;
    std::ifstream journal(it->path());
    for (std::string line; std::getline(journal, line);) {
      std::istringstream numbers(line);
      int64_t first = 0;
      int64_t last = 0;
      if (numbers >> first >> last) bytes += last - first;
    }
  }
  return bytes;
}

// Of the ranges that were asked for from the store of large files.
int64_t AskedBytes(const std::vector<Json>& log) {
  int64_t bytes = 0;
  for (const Json& line : log) {
    if (line["large"] == false) continue;
    std::istringstream range(line["range"].get<std::string>().substr(6));  // behind "bytes="
    int64_t first = 0;
    int64_t last = 0;
    char dash = 0;
    range >> first >> dash >> last;
    bytes += last + 1 - first;
  }
  return bytes;
}

// Starts the program and kills it as soon as `reached` says so, and a moment later.
void KillWhen(Words words, const std::function<bool()>& reached, int milliseconds) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t process = -1;
  ASSERT_EQ(posix_spawnp(&process, "env", nullptr, nullptr, arguments.data(), environ), 0);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!reached() && std::chrono::steady_clock::now() < deadline) usleep(2000);
  usleep(static_cast<useconds_t>(milliseconds) * 1000);
  kill(process, SIGKILL);
  int status = 0;
  waitpid(process, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "it had ended already";
}

// Ten times killed in the middle, and then as if nothing had happened.
TEST_F(PullCommand, KillsCostNothingThatCame) {
  const Files files = ServeLarge(3, 24 << 20);
  const std::string folder = models_ + "/acme/large";
  host->Misbehave(R"([{"path": "/objects/*", "slow": 32768}])");
  RandomStream random(5);
  for (int round = 0; round < 10; ++round) {
    const int64_t before = JournalledBytes(folder);
    // Not by the config alone, which is soon in its place.
    KillWhen(
        Line({"pull", "acme/large", "-q"}), [&] { return JournalledBytes(folder) > before + 1000; },
        static_cast<int>(random.Next() % 50));
    EXPECT_GT(JournalledBytes(folder), before);
    for (const auto& [name, text] : FilesIn(folder)) {
      EXPECT_TRUE(text == files.at(name)) << name << " is not whole";
    }
  }
  host->Misbehave("[]");
  host->TakeLog();
  const int64_t there = JournalledBytes(folder);
  Out({"pull", "acme/large", "-q"});
  EXPECT_TRUE(FilesIn(folder) == files);
  EXPECT_FALSE(fs::exists(folder + "/.fulmen-pull/parts"));
  EXPECT_EQ(AskedBytes(host->TakeLog()), 3 * (24 << 20) - there);
}

TEST_F(PullCommand, CtrlCSaysHowToGoOn) {
  ServeLarge(1, 4 << 20);
  host->Misbehave(R"([{"path": "/objects/*", "slow": 10000}])");
  const ProgramResult result = Run({"pull", "acme/large"}, {.interrupt_after = {"fetching: "}});
  EXPECT_EQ(result.exit_code, 130);
  EXPECT_NE(result.err.find(" kB/s, "), std::string::npos) << result.err;
  EXPECT_TRUE(
      result.err.ends_with("fulmen: stopped; the same command goes on with what has come\n"))
      << result.err;
}

TEST_F(PullCommand, AFullDiskIsTold) {
  const Files files = ServeLarge(1, 4 << 20);
  Words words = Line({"pull", "acme/large"});
  words.insert(words.begin(), {"bash", "-c", "ulimit -f 2000; exec \"$@\"", "bash"});
  const ProgramResult result = RunProgram(words);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "fulmen: cannot write " + models_ +
                            "/acme/large/model-00001-of-00001.safetensors: File too large\n");
  Out({"pull", "acme/large"});
  EXPECT_TRUE(FilesIn(models_ + "/acme/large") == files);
}

}  // namespace
}  // namespace fulmen::testing
