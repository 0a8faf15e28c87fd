// What `fulmen train` is told: the fields of its TOML file, as plain values.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "model/config.h"
#include "train/optimizer.h"

namespace fulmen {

// Fields are documented where they are listed, in training_fields.cc; names, sections and defaults
// are those of the file.
struct ModelSection {
  std::string init;
  std::string tokenizer;
  int64_t hidden_size = 384;
  int64_t layers = 8;
  int64_t softmax_every = 8;
  std::vector<int64_t> attn_type_list;
  int64_t heads = 6;
  int64_t kv_heads = 2;
  int64_t head_dim = 64;
  int64_t rotary_dim = 32;
  double rope_theta = 10000;
  int64_t experts = 4;
  int64_t experts_per_token = 2;
  int64_t intermediate_size = 768;
  int64_t max_position = 131072;
  bool tie_embeddings = false;
  bool post_norm = true;
  bool deepnorm = true;
};

struct VisionSection {
  int64_t width = 0;
  int64_t heads = 4;
  int64_t layers = 4;
  int64_t intermediate_size = 512;
  int64_t tile = 336;
  int64_t patch = 14;
  std::vector<std::vector<int64_t>> grids = {};
  bool operator==(const VisionSection&) const = default;
};

struct ScheduleSection {
  std::string kind = "cosine";
  int64_t warmup_steps = 100;
  double final_share = 0.1;
  double decay_share = 0.2;
  std::string decay_shape = "linear";
};

struct BatchSection {
  int64_t tokens = 8192;
  int64_t batches = 1;
  int64_t warmup_batches = 0;
  int64_t warmup_steps = 0;
  bool recompute = false;
};

struct LossSection {
  double auxiliary = 0.01;
  double z = 0;
  double capacity = 0;
};

struct SourceConfig {
  std::string path;
  double weight = 1;
  bool operator==(const SourceConfig&) const = default;
};

struct StageConfig {
  std::string name;
  int64_t steps = 0;
  int64_t tokens = 0;
  int64_t max_length = 2048;
  double rope_theta = 0;
  double learning_rate_factor = 1;
  int64_t batch_tokens = 0;
  std::vector<SourceConfig> sources;
  std::string trains = "all";
};

struct CheckpointSection {
  int64_t every = 500;
  int64_t keep = 3;
};

struct EvaluationSection {
  std::string data;
  int64_t every = 500;
  int64_t batches = 4;
};

struct OutputSection {
  std::string folder;
  std::string type = "bfloat16";
  int64_t report_every = 50;
};

struct RunSection {
  int64_t seed = 0;
  int64_t threads = 0;
  std::string kernels;
  std::string precision = "float32";
};

struct TrainingConfig {
  ModelSection model;
  VisionSection vision;
  OptimizerOptions optimizer;
  ScheduleSection schedule;
  BatchSection batch;
  LossSection loss;
  std::vector<StageConfig> stages;
  CheckpointSection checkpoint;
  EvaluationSection evaluation;
  OutputSection output;
  RunSection run;
};

// A flag that overrides a field: {"optimizer.learning_rate", "3e-4"}; of the stage called short,
// {"stages.short.max_length", "512"}. Text is taken as it is, everything else as TOML.
using Override = std::pair<std::string, std::string>;

// Parses the text of a TOML file (untrusted); `where` names it in errors. Unknown keys, values of
// the wrong kind or outside their range, and contradictions are refused by name, with the line
// where there is one.
Result<TrainingConfig> ParseTrainingConfig(const std::string& text, const std::string& where,
                                           std::span<const Override> overrides = {});
Result<TrainingConfig> ReadTrainingConfig(const std::string& path,
                                          std::span<const Override> overrides = {});

// The inverse of ParseTrainingConfig, every field with its documentation.
std::string WriteTrainingConfig(const TrainingConfig& config);
// A config to start from: the defaults and one stage.
TrainingConfig ExampleTrainingConfig();

// Whether a run that got to stage `stage` with `before` may go on with `now`: what made the weights
// so far (the model's geometry, the data and the size of its batches) must be the same. Names the
// first field that differs.
Status CheckResumable(const TrainingConfig& before, const TrainingConfig& now, size_t stage);

}  // namespace fulmen
