// What a model's generation_config.json says holds where no flag says otherwise.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/file_io.h"
#include "base/json.h"
#include "tests/testing/golden.h"
#include "tests/testing/subprocess.h"

namespace fulmen::testing {
namespace {

class GenerationConfigFile : public ::testing::Test {
 protected:
  void SetUp() override { CopyGoldenModel("text/hybrid-bf16", folder_.path()); }

  void Advise(const Json& advice) {
    ASSERT_TRUE(WriteFileAtomically(folder_ / "generation_config.json", advice.dump()));
  }
  // The JSON of an answer to a raw prompt.
  Json Run(const std::vector<std::string>& flags) {
    std::vector<std::string> arguments = {"run", "-m", folder_.path(), "--raw",
                                          "-p",  "x",  "-q",           "--json"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const ProgramResult result = RunFulmen(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return ParseJson(result.out, "the answer").value();
  }

  TemporaryFolder folder_;
};

TEST_F(GenerationConfigFile, FurtherEndTokensEndTheAnswer) {
  const std::vector<std::string> flags = {"--temperature", "0", "-n", "12"};
  const Json ids = Run(flags)["ids"];
  ASSERT_EQ(ids.size(), 12U);
  const auto first = std::find(ids.begin(), ids.end(), ids[7]);
  Advise({{"eos_token_id", {511, ids[7]}}});
  const Json answer = Run(flags);
  EXPECT_EQ(answer["finish_reason"], "stop");
  EXPECT_EQ(answer["ids"], Json(std::vector<Json>(ids.begin(), first)));
  std::vector<std::string> on = flags;
  on.emplace_back("--ignore-eos");
  EXPECT_EQ(Run(on)["ids"], ids);
}

TEST_F(GenerationConfigFile, FlagsGoBeforeItsSampling) {
  const Json greedy = Run({"--temperature", "0", "-n", "12", "--seed", "1"})["ids"];
  const Json drawn = Run({"-n", "12", "--seed", "1"})["ids"];
  EXPECT_NE(drawn, greedy);
  Advise({{"do_sample", false}, {"max_new_tokens", 12}});
  EXPECT_EQ(Run({})["ids"], greedy);
  EXPECT_EQ(Run({"-n", "5"})["ids"].size(), 5U);
  EXPECT_EQ(Run({"--temperature", "1", "--seed", "1"})["ids"], drawn);
  Advise({{"top_k", 1}});
  EXPECT_EQ(Run({"-n", "12", "--seed", "1"})["ids"], greedy);
  EXPECT_EQ(Run({"-n", "12", "--seed", "1", "--top-k", "0"})["ids"], drawn);
}

}  // namespace
}  // namespace fulmen::testing
