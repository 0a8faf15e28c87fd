#include "train/training_config.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "train/training_fields.h"

namespace fulmen {
namespace {

const char* const kSmallest = R"([model]
tokenizer = "tokenizer"
[output]
folder = "run"
[schedule]
warmup_steps = 0
[[stages]]
name = "short"
steps = 10
max_length = 64
sources = [{path = "data"}]
)";

// The sentence ParseTrainingConfig refuses the text with.
std::string Refusal(const std::string& text, const std::vector<Override>& flags = {}) {
  const auto config = ParseTrainingConfig(text, "run.toml", flags);
  return config ? "accepted" : config.error().message;
}

// kSmallest with one piece of text replaced, or a section appended when `before` is "".
std::string Changed(const std::string& before, const std::string& after) {
  std::string text = kSmallest;
  if (before.empty()) return text + after;
  text.replace(text.find(before), before.size(), after);
  return text;
}

TEST(TrainingConfig, TheSmallestIsCompletedByDefaults) {
  const auto config = ParseTrainingConfig(kSmallest, "run.toml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->stages.size(), 1U);
  EXPECT_EQ(config->stages[0].sources, (std::vector<SourceConfig>{{"data", 1}}));
  EXPECT_EQ(config->optimizer.beta2, 0.95);
}

TEST(TrainingConfig, RefusesWithASentence) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {Changed("folder = \"run\"", "foldr = \"run\""),
       "run.toml:4: [output] has no field \"foldr\"; the nearest name is \"folder\""},
      {Changed("[output]", "[outputs]"),
       "run.toml:3: there is no section \"outputs\"; the nearest name is \"output\""},
      {Changed("steps = 10", "steps = \"10\""),
       "run.toml:9: stages.steps should be a whole number, found '10'"},
      {Changed("steps = 10", "steps = 1.5"),
       "run.toml:9: stages.steps should be a whole number, found 1.5"},
      {Changed("steps = 10", "step = 10"),
       "run.toml:9: [stages] has no field \"step\"; the nearest name is \"steps\""},
      {Changed("warmup_steps = 0", "kind = \"cosin\""),
       "run.toml:6: schedule.kind should be one of \"constant\", \"linear\", \"cosine\", \"wsd\", "
       "found \"cosin\""},
      {Changed("[schedule]", "[optimizer]\nbeta1 = 1.5\n[schedule]"),
       "run.toml:6: optimizer.beta1 should be from 0 to 0.999999, found 1.5"},
      {Changed("[schedule]", "[optimizer]\nlearning_rate = nan\n[schedule]"),
       "run.toml:6: optimizer.learning_rate should be from 0 to 1e+06, found nan"},
      {Changed("[[stages]]", "[stages]"),
       "run.toml:7: stages should be tables that begin with [[stages]], found "},
      {Changed("[{path = \"data\"}]", "[\"data\"]"),
       "run.toml:11: stages.sources should be a list of tables {path = \"FOLDER\", weight = "
       "NUMBER}, found 'data'"},
      {Changed("{path = \"data\"}", "{path = \"data\", weight = -1}"),
       "run.toml:11: an entry of stages.sources should have a path in quotes and a weight above 0, "
       "found weight = -1"},
      {Changed("folder = \"run\"", "folder = run"), "run.toml:4: "},
      {Changed("steps = 10", "steps = 10\ntokens = 10"),
       "run.toml: stage short should have either steps or tokens, found 10 and 10"},
      {Changed("steps = 10", ""),
       "run.toml: stage short should have either steps or tokens, found 0 and 0"},
      {Changed("max_length = 64", "max_length = 64000"),
       "run.toml: stage short: max_length 64000 does not fit into a batch of 8192 tokens"},
      {Changed("sources = [{path = \"data\"}]", ""),
       "run.toml: stage short has no sources to learn from"},
      {Changed("name = \"short\"", "name = \"a.b\""),
       "run.toml: a stage needs a name without dots, found \"a.b\""},
      {Changed("", "[[stages]]\nname = \"short\"\nsteps = 1\nsources = [{path = \"data\"}]"),
       "run.toml: two stages are called \"short\""},
      {Changed("warmup_steps = 0", "warmup_steps = 10"),
       "run.toml: schedule.warmup_steps 10 leaves nothing of the 10 steps of all stages"},
      {Changed("folder = \"run\"", ""),
       "run.toml: output.folder is missing: the folder the run is kept in"},
      {Changed("tokenizer = \"tokenizer\"", ""),
       "run.toml: model.tokenizer is missing: the folder that sets the vocabulary"},
      {Changed("tokenizer = \"tokenizer\"", "init = \"model\"\nlayers = 4"),
       "run.toml: model.layers contradicts model.init, whose geometry is taken"},
      {Changed("[output]", "softmax_every = 4\nattn_type_list = [0, 1]\n[output]"),
       "run.toml: model.softmax_every and model.attn_type_list contradict each other"},
      {Changed("[output]", "attn_type_list = [0, 1]\n[output]"),
       "run.toml: model.attn_type_list has 2 entries, model.layers says 8"},
      {Changed("[output]", "attn_type_list = [0, 2]\n[output]"),
       "run.toml:3: model.attn_type_list should be from 0 to 1, found 2"},
      {Changed("[output]", "heads = 6\nkv_heads = 4\n[output]"),
       "run.toml: model.heads 6 should be a multiple of model.kv_heads 4"},
      {Changed("[output]", "rotary_dim = 66\n[output]"),
       "run.toml: model.rotary_dim 66 should be even and at most model.head_dim 64"},
      {Changed("[output]", "experts_per_token = 5\n[output]"),
       "run.toml: model.experts_per_token 5 exceeds model.experts 4"},
      {Changed("[schedule]", "[vision]\nheads = 2\n[schedule]"),
       "run.toml: [vision] wants vision.width, the width of the tower"},
      {Changed("[schedule]", "[vision]\nwidth = 10\nheads = 4\n[schedule]"),
       "run.toml: vision.width 10 should be a multiple of vision.heads 4"},
      {Changed("[schedule]", "[vision]\nwidth = 8\ntile = 10\npatch = 4\n[schedule]"),
       "run.toml: [vision]: tiles of 10 pixels a side cannot be cut into patches of 4"},
      {Changed("[schedule]", "[vision]\nwidth = 8\ngrids = [[1, 1, 1]]\n[schedule]"),
       "run.toml: vision.grids should hold pairs [columns, rows], found 3 numbers"},
      {Changed("[schedule]", "[vision]\nwidth = 8\ngrids = [1]\n[schedule]"),
       "run.toml:7: vision.grids should be a list of lists of whole numbers, found 1"},
      {Changed("steps = 10", "steps = 10\ntrains = \"tower\""),
       "run.toml:10: stages.trains should be one of \"all\", \"vision\", \"projector\", found "
       "\"tower\""},
      {Changed("[schedule]", "[batch]\nwarmup_steps = 5\n[schedule]"),
       "run.toml: batch.warmup_batches is 0 and batch.warmup_steps 5: a batch-size warm-up needs "
       "both above 0"},
      {Changed("[schedule]",
               "[batch]\nbatches = 6\nwarmup_batches = 4\nwarmup_steps = 5\n[schedule]"),
       "run.toml: batch.batches 6 should be a multiple of batch.warmup_batches 4"},
      {"[model]\ntokenizer = \"t\"\n[output]\nfolder = \"run\"\n",
       "run.toml: at least one [[stages]] is needed, found none"},
      {"model = 3", "run.toml:1: model should be a section [model], found 3"},
      {std::string("\n\x7f\x45LF\0\1\2", 8), "run.toml:2: "},
      {std::string("[\0]", 3), "run.toml:1: "},
  };
  for (const auto& [text, expected] : cases) {
    const std::string refusal = Refusal(text);
    EXPECT_TRUE(refusal.starts_with(expected)) << refusal << "\nexpected: " << expected;
    EXPECT_EQ(refusal.find('\n'), std::string::npos) << refusal;
  }
}

TEST(TrainingConfig, FlagsOverrideEveryKindOfField) {
  const std::vector<Override> flags = {
      {"optimizer.learning_rate", "3e-4"},
      {"batch.recompute", "true"},
      {"optimizer.no_decay", R"(["norm", "gate"])"},
      {"output.folder", "other folder"},
      {"stages.short.max_length", "128"},
      {"stages.short.sources", R"([{path = "a", weight = 2}, {path = "b"}])"}};
  const auto config = ParseTrainingConfig(kSmallest, "run.toml", flags);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->optimizer.learning_rate, 3e-4);
  EXPECT_TRUE(config->batch.recompute);
  EXPECT_EQ(config->optimizer.no_decay, (std::vector<std::string>{"norm", "gate"}));
  EXPECT_EQ(config->output.folder, "other folder");
  EXPECT_EQ(config->stages[0].max_length, 128);
  EXPECT_EQ(config->stages[0].sources, (std::vector<SourceConfig>{{"a", 2}, {"b", 1}}));
}

TEST(TrainingConfig, FlagsAreCheckedAsTheFileIs) {
  const std::vector<std::pair<Override, std::string>> cases = {
      {{"optimizer.clip", "-1"},
       "--optimizer.clip: optimizer.clip should be from 0 to 1e+09, "
       "found -1"},
      {{"optimizer.clip", "1\nbeta1 = 2"}, "--optimizer.clip should be a number, found \"1"},
      {{"optimizer.clip", ""}, "--optimizer.clip should be a number, found \"\""},
      {{"batch.tokens", "0x400"}, "--batch.tokens should be a whole number, found \"0x400\""},
      {{"batch.tokens", "1_000"}, "--batch.tokens should be a whole number, found \"1_000\""},
      {{"batch.tokens", "1e3"}, "--batch.tokens should be a whole number, found \"1e3\""},
      {{"optimizer.clip", "inf"}, "--optimizer.clip should be a number, found \"inf\""},
      {{"clip", "1"}, "--clip: expected --SECTION.FIELD VALUE"},
      {{"optimiser.clip", "1"},
       "--optimiser.clip: there is no section \"optimiser\"; the nearest name is \"optimizer\""},
      {{"stages.long.steps", "1"}, "--stages.long.steps: there is no stage called \"long\""},
      {{"output.folder", "\xff"}, "--output.folder: output.folder should be a text, found "},
      {{"schedule.kind", "step"}, "--schedule.kind: schedule.kind should be one of "},
  };
  for (const auto& [flag, expected] : cases) {
    const std::string refusal = Refusal(kSmallest, {flag});
    EXPECT_TRUE(refusal.starts_with(expected)) << refusal << "\nexpected: " << expected;
  }
}

TEST(TrainingConfig, WhatIsWrittenReadsBack) {
  TrainingConfig config = ExampleTrainingConfig();
  config.output.folder = "odd \"name\"\\\t\n";
  config.model.attn_type_list = {0, 1, 0, 1, 0, 1, 0, 1};
  config.optimizer.epsilon = 1.0 / 3e8;
  config.stages[0].sources = {{"a", 0.1}, {"b", 1e-7}};
  std::string text = WriteTrainingConfig(config);
  auto read = ParseTrainingConfig(text, "written");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(WriteTrainingConfig(*read), text);
  EXPECT_EQ(read->optimizer.epsilon, config.optimizer.epsilon);

  config.model = {};
  config.model.init = "model";
  text = WriteTrainingConfig(config);
  read = ParseTrainingConfig(text, "written");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(WriteTrainingConfig(*read), text);
}

TEST(TrainingConfig, EveryFieldIsDocumented) {
  TrainingConfig config = ExampleTrainingConfig();
  std::vector<Section> sections = TrainingSections(config);
  sections.push_back(StageSection(config.stages[0]));
  const std::string text = WriteTrainingConfig(config);
  for (const Section& section : sections) {
    EXPECT_FALSE(section.documentation.empty()) << section.name;
    for (const Field& field : section.fields) {
      EXPECT_GT(field.documentation.size(), 5U) << section.name << "." << field.name;
      EXPECT_EQ(field.documentation.find('\n'), std::string::npos) << field.name;
      EXPECT_NE(text.find(fmt::format("\n{} = ", field.name)), std::string::npos) << field.name;
    }
  }
}

TEST(TrainingConfig, ResumingMayChangeOnlyWhatWeightsDoNotDependOn) {
  TrainingConfig before = ExampleTrainingConfig();
  before.stages.push_back(before.stages[0]);
  before.stages[1].name = "second";
  const auto refusal = [&](const auto& change, size_t stage) -> std::string {
    TrainingConfig now = before;
    change(now);
    const Status status = CheckResumable(before, now, stage);
    return status ? "accepted" : status.error().message;
  };
  EXPECT_EQ(refusal([](auto& c) { c.run.threads = 7; }, 1), "accepted");
  EXPECT_EQ(refusal([](auto& c) { c.optimizer.learning_rate = 7; }, 1), "accepted");
  EXPECT_EQ(refusal([](auto& c) { c.stages[1].steps = 7; }, 1), "accepted");
  EXPECT_EQ(refusal([](auto& c) { c.stages[1].max_length = 7; }, 0), "accepted");
  EXPECT_EQ(refusal([](auto& c) { c.stages.pop_back(); }, 0), "accepted");
  EXPECT_TRUE(refusal([](auto& c) { c.model.layers = 7; }, 0)
                  .starts_with("model.layers was 8 in the run to be resumed and is 7 now"));
  EXPECT_TRUE(refusal([](auto& c) { c.run.seed = 7; }, 0).starts_with("run.seed was 0"));
  EXPECT_TRUE(
      refusal([](auto& c) { c.stages[0].steps = 7; }, 1).starts_with("stages.steps was 10000"));
  EXPECT_TRUE(refusal([](auto& c) { c.stages[1].sources[0].path = "x"; }, 1)
                  .starts_with("stages.sources was [{path = \"path/to/dataset\", weight = 1}]"));
  EXPECT_EQ(refusal([](auto& c) { c.stages.pop_back(); }, 1),
            "the run to be resumed is in stage second, which the config has no more");
}

}  // namespace
}  // namespace fulmen
