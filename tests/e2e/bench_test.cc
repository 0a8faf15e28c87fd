// The commands that measure, on a model so small that only the peaks beside it take time.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>
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
  EXPECT_EQ(json.value("threads", 0), 1);
  EXPECT_EQ(json.value("prompt_tokens", 0), 20);
  EXPECT_EQ(json.value("new_tokens", 0), 3);
  ASSERT_EQ(json.at("rows").size(), 2U);
  for (size_t i = 0; i < 2; ++i) {
    const Json& row = json["rows"][i];
    for (const char* name :
         {"prompt_tokens_per_second", "prompt_ops_per_second", "prompt_share_of_peak"}) {
      EXPECT_GT(row.value(name, 0.0), 0.0) << name;
    }
    ASSERT_EQ(row.at("decode").size(), 1U);
    const Json& decode = row["decode"][0];
    EXPECT_EQ(decode.value("sequences", 0), i == 0 ? 1 : 3);
    for (const char* name : {"tokens_per_second", "ops_per_second", "share_of_peak",
                             "bytes_per_second", "share_of_bandwidth", "share_of_possible"}) {
      EXPECT_GT(decode.value(name, 0.0), 0.0) << name;
    }
  }
  EXPECT_EQ(json["rows"][0].value("depth", 0), 40);
}

// Every combination has its row; what is not there to measure has no figures.
TEST_F(BenchCommand, MeasuresAllCombinations) {
  const Json json = JsonOf({"bench", "-m", model_, "-t", "1,2", "-p", "0,8", "-n", "0,2", "-d", "5",
                            "-b", "1,2", "-r", "1"});
  EXPECT_EQ(json.at("threads"), Json({1, 2}));
  EXPECT_EQ(json.at("peaks").size(), 2U);
  std::vector<std::vector<int>> found;
  for (const Json& row : json.at("rows")) {
    const int prompt = row.value("prompt_tokens", -1);
    const int generated = row.value("new_tokens", -1);
    found.push_back({row.value("threads", 0), prompt, generated, row.value("sequences", 0)});
    EXPECT_EQ(row.contains("prompt_tokens_per_second"), prompt > 0) << row;
    EXPECT_EQ(row.at("decode").size(), generated > 0 ? 1U : 0U) << row;
    EXPECT_EQ(row.value("depth", 0), 5);
  }
  std::vector<std::vector<int>> expected;
  for (const int threads : {1, 2}) {
    expected.insert(expected.end(), {{threads, 0, 2, 1},
                                     {threads, 0, 2, 2},
                                     {threads, 8, 0, 1},
                                     {threads, 8, 2, 1},
                                     {threads, 8, 2, 2}});
  }
  EXPECT_EQ(found, expected);
}

// All operations together take no more than the whole; products name their weights.
void ExpectProfile(const Json& profile, const std::set<std::string>& names) {
  double seconds = profile.at("seconds_between_operations").get<double>();
  EXPECT_GE(seconds, 0.0);
  std::set<std::string> found;
  double before = profile.at("seconds").get<double>();
  for (const Json& operation : profile.at("operations")) {
    const auto took = operation.at("seconds").get<double>();
    EXPECT_LE(took, before) << operation;
    before = took;
    seconds += took;
    found.insert(operation.at("operation").get<std::string>());
    EXPECT_GT(operation.value("calls", 0), 0);
  }
  EXPECT_NEAR(seconds, profile.at("seconds").get<double>(), 1e-6);
  for (const std::string& name : names) EXPECT_TRUE(found.contains(name)) << name << profile;
}

TEST_F(BenchCommand, TellsWhereTheTimeWent) {
  const std::set<std::string> forward = {"embedding",
                                         "moe",
                                         "rms_norm",
                                         "lightning_attention",
                                         "softmax_attention",
                                         "router_logits (gate)",
                                         "linear (lm_head)",
                                         "linear (qkv_proj, output_gate)",
                                         "linear (q_proj, k_proj, v_proj)",
                                         "linear (out_proj)",
                                         "linear (o_proj)"};
  const Json json =
      JsonOf({"bench", "-m", model_, "-t", "1", "-p", "8", "-n", "2", "-r", "2", "--profile"});
  const Json& row = json.at("rows").at(0);
  ExpectProfile(row.at("prompt_profile"), forward);
  ExpectProfile(row.at("decode").at(0).at("profile"), forward);
  const Json& decode = row.at("decode").at(0).at("profile");
  const int steps_counted = decode.value("units", 0);
  // Two of each repetition without the warm-up, of which a busy machine has up to three times as
  // many.
  EXPECT_TRUE(steps_counted % 2 == 0 && steps_counted >= 4 && steps_counted <= 12) << steps_counted;
  for (const Json& operation : decode.at("operations")) {
    if (operation.at("operation") != "linear (lm_head)") continue;
    EXPECT_EQ(operation.value("calls", 0), steps_counted);
    EXPECT_GT(operation.value("share_of_bandwidth", 0.0), 0.0);
  }
  const Json steps = JsonOf(
      {"train", "bench", "-m", model_, "--rows", "1", "--length", "8", "-r", "1", "--profile"});
  ExpectProfile(steps.at("profile"),
                {"linear_backward_weight (q_proj)", "linear_backward_input (q_proj)",
                 "moe_backward", "adamw", "cross_entropy"});
}

TEST_F(BenchCommand, MeasuresTheEngineUnderLoad) {
  const Json json =
      JsonOf({"bench", "--load", "-m", model_, "--clients", "3", "--requests", "9", "-p", "20,30",
              "-n", "4", "--shared", "10", "--turns", "2", "--think", "0.001"});
  EXPECT_EQ(json.value("requests", 0), 9);
  EXPECT_EQ(json.value("output_tokens", 0), 36);
  EXPECT_GT(json.value("output_tokens_per_second", 0.0), 0.0);
  EXPECT_GT(json.value("cached_tokens", 0), 0);
  EXPECT_LT(json.value("cached_tokens", 0), json.value("prompt_tokens", 0));
  int lookups = 0;
  for (const Json& count : json.at("lookups")) lookups += count.get<int>();
  EXPECT_EQ(lookups, 9);
  for (const auto& [name, count] : {std::pair("first_token_seconds", 9),
                                    std::pair("gap_seconds", 27), std::pair("answer_seconds", 9)}) {
    const Json& times = json.at(name);
    EXPECT_EQ(times.value("count", 0), count) << name;
    EXPECT_GT(times.value("p50", 0.0), 0.0) << name;
    EXPECT_LE(times.value("p50", 0.0), times.value("p99", 0.0)) << name;
    EXPECT_LE(times.value("p99", 0.0), times.value("max", 0.0)) << name;
  }
  EXPECT_GT(json.value("most_state_bytes", 0), 0);
  const ProgramResult too_long =
      RunFulmen({"bench", "--load", "-m", model_, "-p", "200", "-n", "50", "--turns", "2"});
  EXPECT_EQ(too_long.exit_code, 1);
  EXPECT_NE(too_long.err.find("do not fit the context limit of 256"), std::string::npos);
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
