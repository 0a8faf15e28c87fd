#include "model/generation_config.h"

#include <gtest/gtest.h>

namespace fulmen {
namespace {

Result<GenerationConfig> Parse(const std::string& text) {
  return ParseGenerationConfig(ParseJson(text, "g").value(), 100, "g");
}

std::string GenerationConfigProblem(const std::string& text) {
  const Result<GenerationConfig> config = Parse(text);
  return config ? "" : config.error().message;
}

TEST(GenerationConfig, ReadsWhatItSays) {
  const GenerationConfig config =
      Parse(R"({"eos_token_id": [7, 9], "do_sample": true, "temperature": 0.7, "top_k": 40,
                "top_p": 0.9, "min_p": 0.05, "repetition_penalty": 1.1, "max_new_tokens": 300,
                "bos_token_id": null, "transformers_version": "4.57.0",
                "suppress_tokens": [4, 2, 4]})")
          .value();
  EXPECT_EQ(config.eos_ids, (std::vector<int32_t>{7, 9}));
  EXPECT_EQ(config.suppressed, (std::vector<int32_t>{4, 2, 4}));
  EXPECT_EQ(config.temperature, 0.7);
  EXPECT_EQ(config.top_k, 40);
  EXPECT_EQ(config.top_p, 0.9);
  EXPECT_EQ(config.min_p, 0.05);
  EXPECT_EQ(config.repetition_penalty, 1.1);
  EXPECT_EQ(config.max_new_tokens, 300);
}

TEST(GenerationConfig, SaysNothingWhereTheFileDoesNot) {
  for (const char* text : {"{}", R"({"eos_token_id": null, "temperature": null, "top_k": null})"}) {
    const GenerationConfig config = Parse(text).value();
    EXPECT_TRUE(config.eos_ids.empty());
    EXPECT_EQ(config.temperature, std::nullopt);
    EXPECT_EQ(config.top_k, std::nullopt);
    EXPECT_EQ(config.top_p, std::nullopt);
    EXPECT_EQ(config.min_p, std::nullopt);
    EXPECT_EQ(config.repetition_penalty, std::nullopt);
    EXPECT_EQ(config.max_new_tokens, std::nullopt);
  }
  EXPECT_EQ(Parse(R"({"eos_token_id": 3})")->eos_ids, std::vector<int32_t>{3});
}

TEST(GenerationConfig, WithoutSamplingIsGreedy) {
  EXPECT_EQ(Parse(R"({"do_sample": false})")->temperature, 0);
  EXPECT_EQ(Parse(R"({"do_sample": false, "temperature": 0.7})")->temperature, 0);
  EXPECT_EQ(Parse(R"({"do_sample": true, "temperature": 0.7})")->temperature, 0.7);
}

TEST(GenerationConfig, RefusesInOneSentence) {
  EXPECT_EQ(GenerationConfigProblem("[]"), "g: expected an object, found []");
  EXPECT_EQ(GenerationConfigProblem(R"({"eos_token_id": [7, 100]})"),
            "g: eos_token_id should be a token below vocab_size 100, found 100");
  EXPECT_EQ(GenerationConfigProblem(R"({"eos_token_id": 7.0})"),
            "g: eos_token_id should be a token below vocab_size 100, found 7.0");
  EXPECT_EQ(GenerationConfigProblem(R"({"eos_token_id": 18446744073709551615})"),
            "g: eos_token_id should be a token below vocab_size 100, found 18446744073709551615");
  EXPECT_EQ(GenerationConfigProblem(R"({"suppress_tokens": [-1]})"),
            "g: suppress_tokens should be a token below vocab_size 100, found -1");
  EXPECT_EQ(GenerationConfigProblem(R"({"temperature": -1})"),
            "g: temperature should be a number from 0 to 1e+06, found -1");
  EXPECT_EQ(GenerationConfigProblem(R"({"temperature": "hot"})"),
            "g: temperature should be a number from 0 to 1e+06, found \"hot\"");
  EXPECT_EQ(GenerationConfigProblem(R"({"top_k": 1.5})"),
            "g: top_k should be a whole number from 0 to 2147483647, found 1.5");
  EXPECT_EQ(GenerationConfigProblem(R"({"top_p": 2})"),
            "g: top_p should be a number from 0 to 1, found 2");
  EXPECT_EQ(GenerationConfigProblem(R"({"repetition_penalty": 0})"),
            "g: repetition_penalty should be a number from 1e-06 to 1e+06, found 0");
  EXPECT_EQ(GenerationConfigProblem(R"({"max_new_tokens": 0})"),
            "g: max_new_tokens should be a whole number from 1 to 2147483647, found 0");
  EXPECT_EQ(GenerationConfigProblem(R"({"do_sample": 1})"),
            "g: do_sample should be true or false, found 1");
}

}  // namespace
}  // namespace fulmen
