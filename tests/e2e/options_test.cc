// No option is read and then ignored: for each there are two command lines that differ in little
// else and whose output, files or exit status differ. An option without an entry fails here.
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <regex>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "base/file_io.h"
#include "fetch/testing/local_host.h"
#include "tests/e2e/option_effects.h"
#include "tests/e2e/stored_sessions.h"
#include "tests/e2e/tiny_model.h"
#include "tests/testing/bmp.h"
#include "tests/testing/command_table.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"
#include "tests/testing/thread_count.h"

namespace fulmen::testing {
namespace {

namespace fs = std::filesystem;

// What is never twice the same, left out.
std::string WithoutTimes(const std::string& command, const std::string& text) {
  static const std::set<std::string> measuring = {"run", "bench", "eval masks", "train bench",
                                                  "train sweep"};
  static const std::regex times(
      R"re("(seconds|tokens_per_second|peak_share)":[^,}]*|, [0-9.]+ s\n)re");
  static const std::regex rates(R"re( *[0-9]+(\.[0-9]+(e[-+][0-9]+)?| tokens/s))re");
  return std::regex_replace(text, measuring.contains(command) ? rates : times, "~");
}

constexpr const char* kConfig = R"([model]
{}
[schedule]
warmup_steps = 1
[batch]
tokens = 128
[checkpoint]
every = 1
[output]
type = "float32"
[run]
threads = 1
[[stages]]
name = "main"
steps = 4
max_length = 64
sources = [{{path = "../in/data"}}]
)";

class Options : public ::testing::Test {
 protected:
  static void SetUpTestSuite();
  static void TearDownTestSuite() {
    delete host;
    delete all_runs;
  }

  static void WritePictures(const std::string& geometry);
  static void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(*all_runs / ("in/" + name), text));
  }
  // A new folder to run a command in, beside "in".
  static std::string NewFolder();
  static ProgramResult Run(const std::string& command, const std::string& words);

  static int Threads(const Measured& each, const std::string& threads);

  struct Outcome {
    int exit_code = -1;
    std::string out;
    std::string seen;  // all there is to see but what is never twice the same
  };
  // A command, its words and its input.
  using Line = std::tuple<std::string, std::string, std::string>;
  static Outcome See(const Line& line);
  // Several at a time.
  static std::map<Line, Outcome> SeeAll(const std::set<Line>& lines);

  static TemporaryFolder* all_runs;
  static LocalHost* host;
  static std::atomic<int> runs;
};

TemporaryFolder* Options::all_runs = nullptr;
LocalHost* Options::host = nullptr;
std::atomic<int> Options::runs = 0;

// Sentences of letters at random, a document each.
std::string RandomLines(int count) {
  std::mt19937 random(1);
  std::string lines;
  for (int i = 0; i < count; ++i) {
    std::string text;
    for (auto left = 5 + random() % 60; left > 0; --left) {
      text += "abcdefghij klmnopqrst"[random() % 21];
    }
    lines += fmt::format("{{\"text\": \"{}\", \"other\": \"Something else.\"}}\n", text);
  }
  return lines;
}

void Options::SetUpTestSuite() {
  all_runs = new TemporaryFolder();
  fs::create_directories(*all_runs / "in");
  fs::copy(SourcePath("tests/golden/text/hybrid-bf16"), *all_runs / "in/model");
  fs::copy(SourcePath("tests/golden/gguf/wide/wide-q4_k_m.gguf"), *all_runs / "in/q4.gguf");
  Write("short.txt", "Hello there.\n");
  Write("book.txt",
        "Once upon a time there was a door.\n\nIt was red.\n***\nTom lives in Rome, and so on.\n");
  Write("ids.json", "[60, 61, 62, 63, 64, 65]");
  Write("other-ids.json", "[70, 71]");
  Write("chat.json", R"({"messages": [{"role": "user", "content": "What is Fulmen?"}]})");
  Write("batches.json", R"({"a": [[[60, 61, 62, 63], [64, 65, 66]], [[70, 71, 72]]]})");
  Write("batches2.json", R"({"a": [[[60, 61, 62, 63]]]})");
  std::vector<int> ids(8000);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = 60 + static_cast<int>(i % 400);
  Write("long-ids.json", fmt::format("[{}]", fmt::join(ids, ", ")));
  ids.resize(2000);
  Write("long-batches.json", fmt::format(R"({{"a": [[[{}]]]}})", fmt::join(ids, ", ")));
  Write("lines.jsonl", RandomLines(100));
  Write("schema.json", R"({"enum": ["one", "two"]})");
  Write("list.json",
        R"({"type": "array", "items": {"enum": [1, 2]}, "minItems": 3, "maxItems": 3})");
  Write("numbers.gbnf", "root ::= [0-9]{2}");
  const std::string mask_case =
      R"({"id": "a", "schema": {"type": "string"}, "tests": [{"valid": true, "data": 1}, )"
      R"({"valid": true, "data": "Some words, spelled in tokens."}]})"
      "\n";
  Write("cases.jsonl", mask_case);
  Write("twice.jsonl", mask_case + mask_case);
  Write("chats.jsonl",
        R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})"
        "\n");
  const std::string geometry = fmt::format("tokenizer = \"../in/model\"\n{}", kTinyGeometry);
  Write("run.toml", fmt::format(kConfig, geometry));
  std::string listed = geometry;
  listed.erase(listed.find("softmax_every"), std::string("softmax_every = 2").size());
  Write("listed.toml", fmt::format(kConfig, listed));
  Write("init.toml", fmt::format(kConfig, "init = \"../in/model\""));
  WritePictures(geometry);
  Write("token", "secret\n");
  host = new LocalHost();
  for (const char* model : {"tiny", "gated"}) {
    for (const char* revision : {"main", "v1"}) {
      const std::string folder = fmt::format("acme/{}/{}/", model, revision);
      host->Serve(folder + "config.json", fmt::format("{{\"revision\": \"{}\"}}", revision));
      host->Serve(folder + "model.safetensors", "weights");
      host->Serve(folder + "README.md", "Read me.");
    }
  }
  host->Gate("acme/gated", "secret");
  setenv("HF_ENDPOINT", host->address().c_str(), 1);
  setenv("FULMEN_MODELS", "models", 1);  // of the folder that a command runs in

  const auto prepare = [](const std::string& command, const std::string& words) {
    const ProgramResult result = Run(command, words);
    EXPECT_EQ(result.exit_code, 0) << command << ": " << result.err;
    return result.out;
  };
  WriteSessions(*all_runs / "in/sessions.db");
  prepare("session export", "work ../in/work.json --sessions ../in/sessions.db");
  prepare("train data", "../in/lines.jsonl -m ../in/model --out ../in/data");
  prepare("train data", "../in/lines.jsonl --train-tokenizer 280 --out ../in/other");
  prepare("train data",
          "../in/pictures.jsonl --chat-format vl-01 --run ../in/see.toml --out ../in/pictures");
  prepare("quantize", "../in/model ../in/low.gguf Q4_0");
  prepare("imatrix", "../in/model ../in/book.txt ../in/imatrix.gguf");
  // A model with images whose vision half is not where it is looked for.
  prepare("synth", TinyVision("../in/vl.gguf", "Q8_0"));
  fs::rename(*all_runs / "in/mmproj-vl.gguf", *all_runs / "in/vision.gguf");
  Write("dot.bmp", BlackDot());
  Write("image-ids.json", R"({"p": {"ids": [60, 299, 61], "images": ["../in/dot.bmp"]}})");
  prepare("train", "../in/run.toml --out ../in/trained-1");
  prepare("train sweep",
          "../in/run.toml --schedule.kind constant --kinds softmax --sizes 32x2,64x2 "
          "--evaluation.data ../in/data --out ../in/swept-1");
  Write("chat-ids.json", prepare("tokenize", "--json --chat ../in/chat.json"));
  // One for each that goes on, perhaps at the same time.
  for (const auto& [from, to] :
       {std::pair("in/trained-1", "in/trained-2"), std::pair("in/trained-1", "in/trained-3"),
        std::pair("in/swept-1", "in/swept-2")}) {
    fs::copy(*all_runs / from, *all_runs / to, fs::copy_options::recursive);
  }
}

// A config of a model that reads images, and chats about one to train it on.
void Options::WritePictures(const std::string& geometry) {
  std::string config = fmt::format(kConfig, geometry);
  config.replace(config.find("../in/data"), std::string("../in/data").size(), "../in/pictures");
  config.replace(config.find("[output]"), std::string("[output]").size(),
                 "[output]\nfolder = \"out\"");
  Write("see.toml", config + R"([vision]
width = 16
heads = 2
layers = 1
intermediate_size = 24
tile = 8
patch = 4
grids = [[1, 1]]
)");
  Write("picture.bmp", Bmp(9, 8, [](int64_t x, int64_t y) {
          return std::array{static_cast<uint8_t>(20 * x), static_cast<uint8_t>(30 * y), uint8_t{7}};
        }));
  Write("pictures.jsonl",
        R"({"messages": [{"role": "user", "content": [{"type": "image", "path": "picture.bmp"}, )"
        R"({"type": "text", "text": "a"}]}, {"role": "assistant", "content": "b"}]})"
        "\n");
}

std::string Options::NewFolder() {
  std::string folder = *all_runs / std::to_string(++runs);
  fs::create_directories(folder + "/used");
  EXPECT_TRUE(WriteFileAtomically(folder + "/used/config.json", "{}"));
  if (fs::exists(*all_runs / "in/sessions.db")) {
    fs::copy(*all_runs / "in/sessions.db", folder + "/used/sessions.db");
  }
  return folder;
}

ProgramResult Options::Run(const std::string& command, const std::string& words) {
  return RunFulmen(Split(command + " " + words), {.folder = NewFolder()});
}

Options::Outcome Options::See(const Line& line) {
  const auto& [command, words, input] = line;
  const std::string folder = NewFolder();
  const ProgramResult result =
      RunFulmen(Split(command + " " + words), {.input = input, .folder = folder});
  Outcome outcome = {result.exit_code, result.out, WithoutTimes(command, result.out)};
  // Elsewhere it tells of progress.
  if (command == "run") outcome.seen += WithoutTimes(command, result.err);
  std::set<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) names.insert(entry.path().string().substr(folder.size()));
  }
  for (const std::string& name : names) {
    outcome.seen += "\n" + name;
    // Checkpoints, reports and what is written down of a pull hold times.
    if (name.find("checkpoints") != std::string::npos || name.ends_with(".html") ||
        name.find(".fulmen-pull") != std::string::npos) {
      continue;
    }
    // So do stores of sessions.
    const bool store = name.ends_with(".db");
    std::string text = store ? DescribeSessions(folder + name) : ReadFileOrDie(folder + name);
    if (name.find(".json") != std::string::npos) text = WithoutTimes(command, text);
    outcome.seen += fmt::format(": {:x}", std::hash<std::string>()(text));
  }
  fs::remove_all(folder);
  if (result.exit_code != 0) outcome.seen += "\n" + result.err;
  return outcome;
}

std::map<Options::Line, Options::Outcome> Options::SeeAll(const std::set<Line>& lines) {
  std::map<Line, Outcome> outcomes;
  std::vector<std::pair<const Line*, Outcome*>> work;
  for (const Line& line : lines) work.emplace_back(&line, &outcomes[line]);
  std::atomic<size_t> next = 0;
  const auto take = [&] {
    for (size_t i = next++; i < work.size(); i = next++) *work[i].second = See(*work[i].first);
  };
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i) {
    threads.emplace_back(take);
  }
  threads.clear();
  return outcomes;
}

TEST_F(Options, EachHasAnEffect) {
  const std::map<std::string, Effects> table = AllEffects();
  std::set<Line> lines;
  for (const auto& [command, effects] : table) {
    for (const Effect& effect : effects) {
      lines.insert({command, effect.one, effect.input});
      lines.insert({command, effect.other, effect.input});
    }
  }
  const std::map<Line, Outcome> outcomes = SeeAll(lines);
  for (const auto& [command, effects] : table) {
    for (const Effect& effect : effects) {
      SCOPED_TRACE(
          fmt::format("fulmen {}: {}\n{}\n{}", command, effect.option, effect.one, effect.other));
      const Outcome& one = outcomes.at({command, effect.one, effect.input});
      const Outcome& other = outcomes.at({command, effect.other, effect.input});
      EXPECT_TRUE(one.exit_code == 0 || one.exit_code == 1) << one.exit_code << one.seen;
      EXPECT_EQ(other.exit_code, 0) << other.seen;
      EXPECT_NE(one.seen, other.seen);
      if (effect.shown.empty()) continue;
      EXPECT_EQ(one.out.find(effect.shown), std::string::npos) << one.out;
      EXPECT_NE(other.out.find(effect.shown), std::string::npos) << other.out;
    }
  }
}

// Else the test above could not fail.
TEST_F(Options, NothingElseHasAnEffect) {
  std::set<Line> lines;
  for (const auto& [command, effects] : AllEffects()) {
    if (!effects.empty() && command != "bench") {  // takes seconds
      lines.insert({command, effects.front().other, effects.front().input});
    }
  }
  const std::map<Line, Outcome> once = SeeAll(lines);
  const std::map<Line, Outcome> again = SeeAll(lines);
  for (const auto& [line, outcome] : once) {
    EXPECT_EQ(outcome.seen, again.at(line).seen) << std::get<0>(line) << " " << std::get<1>(line);
  }
}

// How many threads it starts besides its first when it is told to compute with `threads`.
int Options::Threads(const Measured& each, const std::string& threads) {
  return CountThreads(Split(fmt::format("{} {} {} {} {}", FulmenBinary(), each.command, each.words,
                                        each.option, threads)),
                      NewFolder());
}

TEST_F(Options, ThreadsAreStarted) {
  for (const Measured& each : ThreadEffects()) {
    SCOPED_TRACE(each.command);
    const int one = Threads(each, "1");
    EXPECT_GE(one, 0);
    EXPECT_EQ(Threads(each, "3"), one + 2);
  }
}

// Progress shows after two seconds only, but waits in a thread of its own.
TEST_F(Options, QuietTellsNoProgress) {
  for (const Measured& each : QuietEffects()) {
    SCOPED_TRACE(each.command);
    const Words options = HelpOf(Split(each.command)).options;
    if (std::ranges::find(options, "--quiet") == options.end()) continue;
    const std::string one = each.option.empty() ? "" : "1 ";
    const int quiet = Threads(each, one + "--quiet");
    EXPECT_GE(quiet, 0);
    EXPECT_LT(quiet, Threads(each, one));
  }
}

// Training tells of every step at once.
TEST_F(Options, QuietTellsNoSteps) {
  for (const Measured& each : TalkEffects()) {
    SCOPED_TRACE(each.command);
    const ProgramResult told = Run(each.command, each.words);
    EXPECT_EQ(told.exit_code, 0) << told.err;
    EXPECT_NE(told.err, "");
    const ProgramResult quiet = Run(each.command, each.words + " " + each.option);
    EXPECT_EQ(quiet.exit_code, 0) << quiet.err;
    EXPECT_EQ(quiet.err, "");
  }
}

TEST_F(Options, KernelsAreTaken) {
  for (const Measured& each : KernelEffects()) {
    SCOPED_TRACE(each.command);
    const auto run = [&](const std::string& kernels) {
      return RunProgram(
          Split(fmt::format("env FULMEN_CPU_TARGET=none {} {} {} {} {}", FulmenBinary(),
                            each.command, each.words, each.option, kernels)),
          {.folder = NewFolder()});
    };
    const ProgramResult cpu = run("cpu");
    EXPECT_EQ(cpu.exit_code, 1);
    EXPECT_NE(cpu.err.find("FULMEN_CPU_TARGET"), std::string::npos) << cpu.err;
    EXPECT_EQ(run("ref").exit_code, 0);
  }
}

TEST_F(Options, TakeLessMemory) {
  for (const MemoryEffect& each : MemoryEffects()) {
    SCOPED_TRACE(each.command);
    const ProgramResult more = Run(each.command, each.more);
    const ProgramResult less = Run(each.command, each.less);
    EXPECT_EQ(more.exit_code, 0) << more.err;
    EXPECT_EQ(less.exit_code, 0) << less.err;
    EXPECT_LT(static_cast<double>(less.peak_bytes), 0.95 * static_cast<double>(more.peak_bytes));
  }
}

TEST_F(Options, AllAreInTheTable) {
  std::map<std::string, std::set<std::string>> known;
  for (const auto& [command, effects] : AllEffects()) {
    for (const Effect& effect : effects) known[command].insert(effect.option);
  }
  for (const MemoryEffect& each : MemoryEffects()) known[each.command].insert(each.option);
  for (const auto& measured : {ThreadEffects(), TalkEffects(), KernelEffects()}) {
    for (const Measured& each : measured) known[each.command].insert(each.option);
  }
  for (const Measured& each : QuietEffects()) {
    known[each.command].insert({each.option, "--quiet"});
  }
  for (const Words& words : AllCommands()) {
    // They have tests of their own.
    static const std::set<std::string> elsewhere = {"serve", "call",          "keys",   "balance",
                                                    "usage", "organisations", "prices", "accounts"};
    if (!words.empty() && elsewhere.contains(words.front())) continue;
    const std::string command = fmt::format("{}", fmt::join(words, " "));
    for (const std::string& option : HelpOf(words).options) {
      // Fields of the config are the same options in both commands.
      const bool field = command == "train sweep" && option.find('.') != std::string::npos;
      EXPECT_TRUE(field || option == "--help" || known[command].contains(option))
          << command << " " << option;
    }
  }
}

}  // namespace
}  // namespace fulmen::testing
