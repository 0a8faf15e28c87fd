#include "train/metrics.h"

#include <gtest/gtest.h>

#include "base/file_io.h"
#include "tests/testing/golden.h"

namespace fulmen {
namespace {

StepMetrics Metrics(int64_t step) {
  StepMetrics metrics;
  metrics.step = step;
  metrics.stage = "main";
  metrics.loss = 1.0 / static_cast<double>(step);
  metrics.gradient_norm = 0.1;
  metrics.flops = 1e9 * static_cast<double>(step);
  return metrics;
}

class MetricsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto log = MetricsLog::Open(path_, 0);
    ASSERT_TRUE(log) << log.error().message;
    for (int64_t step = 1; step <= 4; ++step) ASSERT_TRUE(log->Add(Metrics(step)));
    ASSERT_TRUE(log->Add(HeldOutLoss{2, 3.5}));
    ASSERT_TRUE(log->Add(HeldOutLoss{4, 3.25}));
    ASSERT_TRUE(log->Add(ExpertLoad{3, {{0.25, 0.75}, {0.5, 0.5}}}));
  }
  testing::TemporaryFolder folder_;
  const std::string path_ = folder_ / "metrics.jsonl";
};

TEST_F(MetricsTest, ReadsBackWhatCountsAndForgetsTheRest) {
  auto log = MetricsLog::Open(path_, 3);
  ASSERT_TRUE(log) << log.error().message;
  ASSERT_EQ(log->history().steps.size(), 3U);
  EXPECT_EQ(log->history().steps[2].loss, 1.0 / 3);
  EXPECT_EQ(log->history().steps[2].stage, "main");
  ASSERT_EQ(log->history().held_out.size(), 1U);
  EXPECT_EQ(log->history().held_out[0].cross_entropy, 3.5);
  ASSERT_EQ(log->history().loads.size(), 1U);
  EXPECT_EQ(log->history().loads[0].shares[0][1], 0.75);
  ASSERT_TRUE(log->Add(Metrics(4)));
  const auto again = MetricsLog::Open(path_, 10);
  EXPECT_EQ(again->history().steps.size(), 4U);
  EXPECT_EQ(again->history().held_out.size(), 1U);
}

TEST_F(MetricsTest, ReadsAWholeFileAndLeavesItAsItIs) {
  const std::string text = *ReadFile(path_);
  const auto history = ReadHistory(path_);
  ASSERT_TRUE(history) << history.error().message;
  EXPECT_EQ(history->steps.size(), 4U);
  EXPECT_EQ(history->steps[1].flops, 2e9);
  EXPECT_EQ(*ReadFile(path_), text);
  EXPECT_FALSE(ReadHistory(folder_ / "absent.jsonl"));
}

TEST_F(MetricsTest, NumbersThatAnOlderFileLacksAreZero) {
  ASSERT_TRUE(WriteFileAtomically(path_, R"({"step": 1, "stage": "main", "loss": 2.5})"
                                         "\n"));
  const auto history = ReadHistory(path_);
  ASSERT_TRUE(history) << history.error().message;
  EXPECT_EQ(history->steps[0].loss, 2.5);
  EXPECT_EQ(history->steps[0].flops, 0);
}

TEST_F(MetricsTest, ALineThatWasCutOffIsDropped) {
  const std::string text = *ReadFile(path_);
  ASSERT_TRUE(WriteFileAtomically(path_, text + "{\"step\": 4, \"held"));
  const auto log = MetricsLog::Open(path_, 10);
  ASSERT_TRUE(log) << log.error().message;
  EXPECT_EQ(log->history().held_out.size(), 2U);
  EXPECT_EQ(*ReadFile(path_), text);
}

TEST_F(MetricsTest, ALineOfSomethingElseIsNamedByItsNumber) {
  const std::string good = R"({"step": 1, "stage": "main", "loss": 2.5})";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{\"step\": 1}", "expected metrics of a step, found {\"step\":1}"},
      {"[1]", "expected metrics of a step, found [1]"},
      {"{\"step\": \"1\"}", "expected metrics of a step, found {\"step\":\"1\"}"},
      {"{\"step\": 1,", "not valid JSON at byte "},
      {"", "JSON is expected, found nothing"}};
  for (const auto& [line, found] : cases) {
    ASSERT_TRUE(WriteFileAtomically(path_, fmt::format("{}\n{}\n{}\n", good, line, good)));
    const auto log = MetricsLog::Open(path_, 10);
    ASSERT_FALSE(log);
    EXPECT_TRUE(log.error().message.starts_with(fmt::format("{}, line 2: {}", path_, found)))
        << log.error().message;
  }
}

}  // namespace
}  // namespace fulmen
