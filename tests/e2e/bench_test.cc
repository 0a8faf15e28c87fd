// The commands that measure, on a model so small that only the peaks beside it take time.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/json.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

class BenchCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    const ProgramResult synth = RunFulmen(
        {"synth",          model_, "--type",    "f32", "--layers",   "2", "--softmax-every", "2",
         "--hidden",       "32",   "--heads",   "2",   "--kv-heads", "1", "--head-dim",      "16",
         "--ffn",          "32",   "--experts", "4",   "--top-k",    "2", "--vocab",         "96",
         "--max-position", "256"});
    ASSERT_EQ(synth.exit_code, 0) << synth.err;
  }

  static ProgramResult Run(std::vector<std::string> arguments) {
    ProgramResult result = RunFulmen(std::move(arguments));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result;
  }
  static Json JsonOf(std::vector<std::string> arguments) {
    arguments.emplace_back("--json");
    const Result<Json> json = ParseJson(Run(std::move(arguments)).out, "standard output");
    EXPECT_TRUE(json) << json.error().message;
    return json ? *json : Json::object();
  }

  TemporaryFolder folder_;
  const std::string model_ = folder_ / "model";
};

TEST_F(BenchCommand, MeasuresPromptsAndDecoding) {
  const Json json = JsonOf({"bench", "-m", model_, "--threads", "1", "-p", "20", "-n", "3", "-d",
                            "40", "-r", "1", "-b", "1,3"});
  EXPECT_EQ(json.value("prompt_tokens", 0), 20);
  EXPECT_EQ(json.value("new_tokens", 0), 3);
  ASSERT_EQ(json.at("rows").size(), 1U);
  for (const Json& row : json["rows"]) {
    for (const char* name : {"prompt_tokens_per_second", "prompt_share_of_peak"}) {
      EXPECT_GT(row.value(name, 0.0), 0.0) << name;
    }
    ASSERT_EQ(row.at("decode").size(), 2U);
    for (size_t i = 0; i < 2; ++i) {
      const Json& decode = row["decode"][i];
      EXPECT_EQ(decode.value("sequences", 0), i == 0 ? 1 : 3);
      EXPECT_GT(decode.value("tokens_per_second", 0.0), 0.0);
      EXPECT_GT(decode.value("share_of_possible", 0.0), 0.0);
    }
  }
  EXPECT_EQ(json["rows"][0].value("depth", 0), 40);
}

#if defined(__x86_64__)
TEST(BenchPeak, NamesTheInstructionsOfTheTarget) {
  const auto run = [](const std::vector<std::string>& more) {
    std::vector<std::string> command = {"/usr/bin/env",
                                        "FULMEN_CPU_TARGET=SSE4",
                                        FulmenBinary(),
                                        "bench",
                                        "--peak",
                                        "--threads",
                                        "1"};
    command.insert(command.end(), more.begin(), more.end());
    const ProgramResult result = RunProgram(command);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  };
  const Result<Json> json = ParseJson(run({"--json"}), "standard output");
  ASSERT_TRUE(json) << json.error().message;
  EXPECT_EQ(json->value("threads", 0), 1);
  for (const char* name : {"fma_f32_flops", "int8_dot_ops", "read_bandwidth_bytes"}) {
    EXPECT_GT(json->at("peaks").value(name, 0.0), 1e8) << name;
  }
  const std::string instructions = json->at("peaks").value("int8_dot_instructions", "");
  const std::string text = run({});
  EXPECT_NE(text.find("by " + instructions), std::string::npos) << text;
  EXPECT_NE(text.find("cpu (SSE4)"), std::string::npos) << text;
}
#endif

TEST_F(BenchCommand, MeasuresTrainingSteps) {
  const std::vector<std::string> small = {"train",  "bench", "-m",       model_, "--threads", "1",
                                          "--rows", "2",     "--length", "40",   "-r",        "1"};
  const Json full = JsonOf(small);
  EXPECT_EQ(full.value("tokens", 0), 80);
  EXPECT_EQ(full.value("documents", 0), 2);
  EXPECT_EQ(full.value("precision", ""), "float32");
  EXPECT_GT(full.value("tokens_per_second", 0.0), 0.0);
  EXPECT_GT(full.value("share_of_fma_peak", 0.0), 0.0);
  EXPECT_GT(full.value("peak_memory_bytes", 0.0), 1e6);
  std::vector<std::string> other = small;
  other.insert(other.end(), {"--documents", "packed", "--precision", "bfloat16", "--recompute"});
  const Json packed = JsonOf(other);
  EXPECT_EQ(packed.value("tokens", 0), 80);
  EXPECT_GT(packed.value("documents", 0), 2);
  EXPECT_EQ(packed.value("precision", ""), "bfloat16");
  EXPECT_TRUE(packed.value("recompute", false));
  // Shorter documents attend to less.
  EXPECT_LT(packed.value("flops_per_token", 0.0), full.value("flops_per_token", 0.0));
  const ProgramResult text = Run(small);
  EXPECT_NE(text.out.find("steps of 80 tokens in 2 documents"), std::string::npos) << text.out;
}

}  // namespace
}  // namespace fulmen::testing
