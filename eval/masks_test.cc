#include "eval/masks.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/testing/golden.h"

namespace fulmen {
namespace {

MaskBenchReport Measure(const std::string& tokenizer_folder,
                        const std::vector<std::string>& cases) {
  MaskBenchReport report;
  const auto tokenizer = Tokenizer::Load(tokenizer_folder);
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  if (!tokenizer) return report;
  const auto tokens = TokenTrie::Build(*tokenizer);
  for (const std::string& line : cases) {
    const auto mask_case = ParseJson(line, "case");
    EXPECT_TRUE(mask_case);
    const Status measured = MeasureMasks(*mask_case, *tokenizer, tokens, report);
    EXPECT_TRUE(measured) << measured.error().message;
  }
  return report;
}

TEST(MeasureMasks, CountsSchemasByWhatIsWrongWithThem) {
  const MaskBenchReport report = Measure(
      testing::GoldenFolder("tokenizer/small"),
      {R"({"id":"right","schema":{"type":"integer"},"tests":[{"valid":true,"data":1},{"valid":false,"data":"a"}]})",
       R"({"id":"order","schema":{"properties":{"a":{},"b":{}},"required":["a","b"]},
           "tests":[{"valid":true,"data":{"b":[{"a":1,"b":2}],"a":1}}]})",
       R"({"id":"unfit","schema":{"type":"integer"},"tests":[{"valid":true,"data":"a"},{"valid":false,"data":2}]})",
       R"({"id":"error","schema":{"type":"array","items":{},"uniqueItems":true},"tests":[]})",
       R"({"id":"nothing","schema":false,"tests":[{"valid":false,"data":null}]})"});
  EXPECT_EQ(report.schemas, 5);
  EXPECT_EQ(report.passing, 3);
  EXPECT_EQ(report.compile_errors, 1);
  EXPECT_EQ(report.errors.at("uniqueItems"), 1);
  EXPECT_EQ(report.valid_refused, 1);
  EXPECT_EQ(report.invalid_accepted, 1);
  EXPECT_EQ(report.reordered, 1);
  const Json json = ToJson(report);
  EXPECT_EQ(json["schemas"], 5);
  EXPECT_GT(json["mask_us"]["p99"], 0);
  EXPECT_GT(json["compile_us"]["p50"], 0);
}

TEST(MeasureMasks, RefusesWhatIsNoCase) {
  const auto tokenizer = Tokenizer::Load(testing::GoldenFolder("tokenizer/small"));
  ASSERT_TRUE(tokenizer);
  MaskBenchReport report;
  EXPECT_FALSE(MeasureMasks(Json::parse(R"({"schema":{}})"), *tokenizer,
                            TokenTrie::Build(*tokenizer), report));
}

// The bars of the public benchmark, with the published vocabulary, as far as they do not depend on
// the machine.
TEST(MeasureMasks, HoldsTheBarsOfMaskBench) {
  const std::string shared = testing::SharedRoot();
  if (shared.empty()) GTEST_SKIP() << "the cases are not here";
#ifdef __SANITIZE_ADDRESS__
  constexpr int kEvery = 16;
#else
  constexpr int kEvery = 1;
#endif
  std::vector<std::string> cases;
  std::ifstream file(shared + "/data/schemas/maskbench.jsonl");
  std::string line;
  for (int number = 0; std::getline(file, line); ++number) {
    if (number % kEvery == 0) cases.push_back(line);
  }
  const MaskBenchReport report = Measure(testing::GoldenFolder("tokenizer/minimax"), cases);
  ASSERT_GT(report.schemas, 80);
  EXPECT_EQ(report.invalid_accepted, 0);
  EXPECT_LE(report.valid_refused, 2);
  EXPECT_GE(report.passing, report.schemas * 85 / 100);
}

}  // namespace
}  // namespace fulmen
