// What the command line promises of itself: help, examples, usage errors.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "tests/e2e/stored_sessions.h"
#include "tests/testing/command_table.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

std::string Joined(const Words& words) {
  std::string text = "fulmen";
  for (const std::string& word : words) text += " " + word;
  return text;
}

TEST(Help, HasAnExampleForEveryCommand) {
  const std::vector<Words> commands = AllCommands();
  ASSERT_GE(commands.size(), 18U);
  for (const Words& command : commands) {
    SCOPED_TRACE(Joined(command));
    Words words = command;
    words.emplace_back("--help");
    const ProgramResult result = RunFulmen(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out.find('\x1b'), std::string::npos) << "colour codes in a pipe";
    const CommandHelp help = HelpOf(command);
    EXPECT_FALSE(help.examples.empty()) << result.out;
    for (const std::string& example : help.examples) {
      EXPECT_NE(example.find(Joined(command)), std::string::npos) << example;
    }
    words.back() = "-h";
    EXPECT_EQ(RunFulmen(words).out, result.out);
  }
}

// Those that need nothing but what comes with the program succeed; of the others the command line
// is understood, and what they miss is told.
TEST(Help, ItsExamplesWork) {
  const TemporaryFolder folder;
  const std::string path = FulmenBinary().substr(0, FulmenBinary().rfind('/'));
  WriteSessions(folder / "sessions.db");
  ASSERT_TRUE(WriteFileAtomically(folder / "answer.json", R"({"enum": ["Rome", "Paris"]})"));
  ASSERT_TRUE(WriteFileAtomically(folder / "yes-or-no.gbnf", R"(root ::= "Yes" | "No")"));
  for (const Words& command : AllCommands()) {
    for (std::string example : HelpOf(command).examples) {
      SCOPED_TRACE(example);
      if (!command.empty() && command.back() == "bench") continue;  // bench_test.cc runs these
      const auto mentions = [&](const char* word) {
        return example.find(word) != std::string::npos;
      };
      const bool asks = command == Words{"call"} && !mentions("--dry-run");
      const bool external = asks || (command != Words{"call"} && mentions("MiniMax-M1")) ||
                            mentions("MiniMax-VL-01") || mentions("--url http://127.0.0.1:8080") ||
                            mentions("run.toml") || mentions("story.txt") || mentions("books/");
      // No server, whatever runs on this machine and whatever keys its user has.
      if (asks) example += " --url http://127.0.0.1:1 --retries 0";
      if (mentions("text-01-slice")) example += " --layers 1 --hidden 64 --vocab 64 --ffn 64";
      example = std::regex_replace(example, std::regex("/tmp/"), folder.path() + "/");
      if (mentions("man -l")) example.insert(0, "MANPAGER=cat ");
      ProgramOptions options = {.folder = SourcePath("")};
      if (command == Words{"serve"} && !external) {  // until it is told to end
        example.insert(0, "exec ");
        example += " --port 0";
        options.interrupt_after = {" answers at "};
        options.interrupt_with = SIGTERM;
      }
      // Where nothing is fetched, whatever network there is.
      const std::string script = fmt::format(
          "set -o pipefail; export FULMEN_SESSIONS={}/sessions.db HF_ENDPOINT=http://127.0.0.1:1 "
          "XDG_STATE_HOME={}; unset MINIMAX_API_KEY OPENAI_API_KEY ANTHROPIC_API_KEY; "
          "PATH={}:$PATH; {}",
          folder.path(), folder.path(), path, example);
      const ProgramResult result = RunProgram({"bash", "-c", script}, options);
      EXPECT_EQ(result.exit_code, external ? 1 : 0) << result.err;
    }
  }
}

TEST(Help, TellsTheDefaultsThatHold) {
  const std::string help = RunFulmen({"eval", "logits", "--help"}).out;
  EXPECT_NE(help.find("(default: 512)"), std::string::npos) << help;
  const std::string one = RunProgram({"taskset", "-c", "0", FulmenBinary(), "bench", "--help"}).out;
  EXPECT_NE(one.find("here 1)"), std::string::npos) << one;
}

TEST(Help, OfServeNamesThePage) {
  const std::string help = RunFulmen({"serve", "--help"}).out;
  EXPECT_NE(help.find("page to chat in"), std::string::npos) << help;
  EXPECT_NE(help.find("http://127.0.0.1:8080/"), std::string::npos) << help;
}

TEST(CommandLine, TellsItsVersion) {
  const ProgramResult result = RunFulmen({"--version"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_TRUE(result.out.starts_with("fulmen ")) << result.out;
}

struct Mistake {
  Words words;
  std::string sentence;  // the whole first line
  std::string hint;      // the last one
};

void ExpectUsageError(const Mistake& mistake) {
  SCOPED_TRACE(Joined(mistake.words));
  const ProgramResult result = RunFulmen(mistake.words);
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err.substr(0, result.err.find('\n')), "fulmen: " + mistake.sentence);
  EXPECT_TRUE(result.err.ends_with("\nTry " + mistake.hint + " --help\n")) << result.err;
}

TEST(CommandLine, UnknownCommandsAreAnsweredWithTheList) {
  const std::vector<Words> commands = AllCommands();
  for (const Mistake& mistake : std::vector<Mistake>{
           {{}, "a command should follow fulmen", "fulmen"},
           {{"inspct"}, "fulmen has no command inspct; did you mean inspect?", "fulmen"},
           {{"tok"}, "fulmen has no command tok; did you mean tokenize?", "fulmen"},
           {{"fly"}, "fulmen has no command fly", "fulmen"},
           {{"eval"}, "a command should follow fulmen eval", "fulmen eval"},
           {{"eval", "logit"},
            "fulmen eval has no command logit; did you mean logits?",
            "fulmen eval"},
       }) {
    ExpectUsageError(mistake);
    const std::string err = RunFulmen(mistake.words).err;
    const Words first = mistake.hint == "fulmen" ? Words{} : Words{"eval"};
    for (const Words& command : commands) {
      const bool is_inside = command.size() == first.size() + 1 &&
                             std::equal(first.begin(), first.end(), command.begin());
      if (!is_inside) continue;
      EXPECT_NE(err.find("\n  " + command.back() + " "), std::string::npos) << err;
    }
  }
}

TEST(CommandLine, MistakesGetOnePlainSentence) {
  for (const Mistake& mistake : std::vector<Mistake>{
           {{"run", "--temprature", "1"},
            "fulmen run has no option --temprature; did you mean --temperature?",
            "fulmen run"},
           {{"run", "-seed", "1"},
            "fulmen run has no option -seed; did you mean --seed?",
            "fulmen run"},
           {{"run", "--seed"}, "--seed should be followed by a value, found the end", "fulmen run"},
           {{"run", "-p", "--json"},
            "-p should be followed by a value, found the option --json (-p--json if that is meant)",
            "fulmen run"},
           {{"run", "--json=yes", "x"}, "--json takes no value, found \"yes\"", "fulmen run"},
           {{"run", "a", "b"}, "fulmen run takes one argument, found \"b\" besides", "fulmen run"},
           {{"run", "-f", "a", "-p", "b"}, "-f and -p exclude each other", "fulmen run"},
           {{"run", "-p", "b", "-f", "a"}, "-p and -f exclude each other", "fulmen run"},
           {{"run", "a", "--prompt", "b"}, "PROMPT and --prompt exclude each other", "fulmen run"},
           {{"run", "--chat-format=m1", "--raw", "x"},
            "--chat-format and --raw exclude each other",
            "fulmen run"},
           {{"run", "--chat-format", "m2", "x"},
            "--chat-format should be text-01, vl-01, m1 or m1-llama-cpp, found \"m2\"",
            "fulmen run"},
           {{"run", "-n", "1", "--max-tokens", "2", "x"},
            "--max-tokens may be given once, found \"1\" and \"2\"",
            "fulmen run"},
           {{"eval", "perplexity"},
            "--file FILE is missing: The text; - is standard input",
            "fulmen eval perplexity"},
           {{"synth", "--type", "f32"},
            "OUT is missing: Folder to write, new or empty, or a file NAME.gguf",
            "fulmen synth"},
           {{"synth", "out", "--type", "q4_0"},
            "--type Q4_0 is for an OUT that ends in .gguf; folders hold F32, BF16 or F16",
            "fulmen synth"},
           {{"synth", "out.gguf", "--type", "q4_0", "--force"},
            "--force does nothing for an OUT that ends in .gguf",
            "fulmen synth"},
           {{"inspect", "--threads", "2"},
            "--threads does nothing without --verify",
            "fulmen inspect"},
           {{"quantize", "a", "b", "Q8_0", "c"},
            "fulmen quantize takes 3 arguments, found \"c\" besides",
            "fulmen quantize"},
           {{"bench", "-d", "0", "--peak"}, "-d and --peak exclude each other", "fulmen bench"},
           {{"bench", "--peak", "--model", "m"},
            "--peak and --model exclude each other",
            "fulmen bench"},
           {{"bench", "--peak", "-t", "1,2"},
            "--peak takes one number of threads, found 2",
            "fulmen bench"},
           {{"bench", "-p", "0", "-n", "0"},
            "--prompt-tokens 0 and --new-tokens 0 leave nothing to measure",
            "fulmen bench"},
           {{"session", "expire", "work"},
            "either --after TIME or --never is needed",
            "fulmen session expire"},
           {{"session", "list", "--all", "--namespace", "org"},
            "--all and --namespace exclude each other",
            "fulmen session list"},
           {{"pull"},
            "MODEL is missing: OWNER/NAME, or OWNER/NAME:FILE for one file or a pattern such as "
            "*Q4_K_M*; of a GGUF model in parts, any part brings all",
            "fulmen pull"},
           {{"pull", "MiniMax-M1"},
            "MODEL should be OWNER/NAME or OWNER/NAME:FILE, as in MiniMaxAI/MiniMax-M1-80k, found "
            "\"MiniMax-M1\"",
            "fulmen pull"},
           {{"pull", "a/b:../c"},
            "MODEL \"../c\" cannot be the name of a file here: it has . or .. in it",
            "fulmen pull"},
           {{"pull", "a/b:c", "--include", "*"},
            "--include does nothing with a/b:FILE",
            "fulmen pull"},
           {{"completion", "csh"},
            "SHELL should be bash, zsh or fish, found \"csh\"",
            "fulmen completion"},
           {{"detokenize", "-5"}, "fulmen detokenize has no option -5", "fulmen detokenize"},
           {{"run", "--top-k", "3", "--temperature", "0", "x"},
            "--top-k does nothing with --temperature 0, which always takes the most probable token",
            "fulmen run"},
       }) {
    ExpectUsageError(mistake);
  }
}

TEST(CommandLine, NumbersAreReadStrictly) {
  const std::string seed = "--seed should be a whole number of at least 0, found ";
  const std::string length = "-n should be a whole number of at least 1, found ";
  for (const auto& [words, sentence] : std::vector<std::pair<Words, std::string>>{
           {{"run", "x", "--seed", "99999999999999999999999999"},
            seed + "\"99999999999999999999999999\", beyond 0 to 18446744073709551615"},
           {{"run", "x", "--seed", "-1"}, seed + "\"-1\""},
           {{"run", "x", "--seed", ""}, seed + "\"\""},
           {{"run", "x", "--seed", "0x10"}, seed + "\"0x10\""},
           {{"run", "x", "-n", "0"}, length + "\"0\""},
           {{"run", "x", "-n", "1e3"}, length + "\"1e3\""},
           {{"run", "x", "-n", "3.5"}, length + "\"3.5\""},
           {{"run", "x", "-n", " 5"}, length + "\" 5\""},
           {{"run", "x", "-n", "+5"}, length + "\"+5\""},
           {{"run", "x", "--temperature", "nan"},
            "--temperature should be a number of at least 0, found \"nan\""},
           {{"run", "x", "--top-p", "1.5"},
            "--top-p should be a number from 0 to 1, found \"1.5\""},
           {{"run", "x", "--logit-bias", "-5=1"},
            "--logit-bias ID=BIAS: ID should be a whole number of at least 0, found \"-5\""},
           {{"run", "x", "--logit-bias", "5=inf"},
            "--logit-bias ID=BIAS: BIAS should be a number from -100 to 100, found \"inf\""},
           {{"run", "x", "--logit-bias", "5"},
            "--logit-bias should be ID=BIAS, as in 42=-100, found \"5\""},
           {{"synth", "x", "--type", "f32", "--layers", "-3"},
            "--layers should be a whole number from 1 to 2147483647, found \"-3\""},
           {{"synth", "x", "--type", "f32", "--shard-size", "5 apples"},
            "--shard-size should be a size in bytes or as in 500MB or 5GB, found \"5 apples\""},
           {{"bench", "-d", "0,-1"}, "-d should be a whole number of at least 0, found \"-1\""},
           {{"bench", "--threads", "1025"},
            "--threads should be a whole number from 0 to 1024, found \"1025\""},
       }) {
    ExpectUsageError({words, sentence, words[0] == "run" ? "fulmen run" : "fulmen " + words[0]});
  }
  const ProgramResult ten = RunFulmen(
      {"run", "What is Fulmen?", "-n", "010", "--temperature", "0", "--ignore-eos", "--json"});
  EXPECT_EQ(ten.exit_code, 0) << ten.err;
  EXPECT_NE(ten.out.find("\"decode_tokens\":9"), std::string::npos) << ten.out;
}

TEST(CommandLine, AnEmptyPromptIsRefused) {
  const TemporaryFolder folder;
  ASSERT_TRUE(WriteFileAtomically(folder / "empty", ""));
  for (const Words& words :
       std::vector<Words>{{"run", ""}, {"run", "-p", ""}, {"run", "--prompt="}}) {
    ExpectUsageError({words, "the prompt is empty", "fulmen run"});
  }
  for (const Words& words : std::vector<Words>{{"run", "-f", folder / "empty"},
                                               {"run", "-f", "-"},
                                               {"run"},
                                               {"eval", "perplexity", "-f", "-"},
                                               {"eval", "generate", "--tokens", "-"}}) {
    const ProgramResult result = RunFulmen(words);
    EXPECT_EQ(result.exit_code, 1) << Joined(words);
    EXPECT_EQ(result.out, "");
  }
  EXPECT_EQ(RunFulmen({"tokenize", ""}).out, "\n");
}

TEST(CommandLine, ADashIsStandardInput) {
  const std::string ids = RunFulmen({"tokenize", "Once upon"}).out;
  EXPECT_EQ(RunFulmen({"tokenize", "-f", "-"}, {.input = "Once upon"}).out, ids);
  EXPECT_EQ(RunFulmen({"detokenize", "-f", "-"}, {.input = ids}).out, "Once upon");
  const Words greedy = {"--temperature", "0", "-n", "5", "-q"};
  Words bare = {"run", "What is Fulmen?"};
  Words dash = {"run", "-f", "-"};
  bare.insert(bare.end(), greedy.begin(), greedy.end());
  dash.insert(dash.end(), greedy.begin(), greedy.end());
  const ProgramResult answer = RunFulmen(bare);
  EXPECT_NE(answer.out, "");
  EXPECT_EQ(RunFulmen(dash, {.input = "What is Fulmen?"}).out, answer.out);
}

}  // namespace
}  // namespace fulmen::testing
